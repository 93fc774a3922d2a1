/* Alignment.kt on Android, with LiteRT's Interpreter: com.google.ai.edge.litert:litert:1.4.0. */
package tfalign

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import org.tensorflow.lite.Interpreter
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** The pixels of any bitmap: one of Config.HARDWARE cannot be read before it is copied. */
fun pictureOf(bitmap: Bitmap): Picture {
    val readable =
        if (bitmap.config == Bitmap.Config.ARGB_8888) bitmap else bitmap.copy(Bitmap.Config.ARGB_8888, false)
    val argb = IntArray(readable.width * readable.height)
    readable.getPixels(argb, 0, readable.width, 0, 0, readable.width, readable.height)
    return Picture(argb, readable.width, readable.height)
}

/** An exported model. n: metadata.json -> model.num_landmarks. For one thread at a time. */
class FaceModel(file: File, private val crop: Crop, private val n: Int, threads: Int = 2) : AutoCloseable {
    private val interpreter = Interpreter(file, Interpreter.Options().setNumThreads(threads))
    private val input = ByteBuffer.allocateDirect(3 * crop.inputHeight * crop.inputWidth).order(ByteOrder.nativeOrder())
    private val output = Array(1) { Array(n) { FloatArray(2) } }

    fun landmarks(picture: Picture, box: Box, passes: Int = 2): List<Point> =
        landmarks(picture, box, crop, passes) { bytes ->
            input.rewind()
            input.put(bytes)
            input.rewind()
            interpreter.run(input, output)
            FloatArray(2 * n) { output[0][it / 2][it % 2] }
        }

    override fun close() = interpreter.close()
}

/** edges: metadata.json -> scheme.edges. */
fun draw(canvas: Canvas, points: List<Point>, edges: List<IntArray>, paint: Paint) {
    for ((a, b) in edges) {
        canvas.drawLine(
            points[a].x.toFloat(), points[a].y.toFloat(), points[b].x.toFloat(), points[b].y.toFloat(), paint)
    }
    for (p in points) canvas.drawCircle(p.x.toFloat(), p.y.toFloat(), 2f, paint)
}
