/*
 * From a picture and a face box to landmarks in the picture's pixels, without Android.
 *
 * Coordinates are continuous: pixel i covers [i, i + 1), so its centre is at i + 0.5. A picture is
 * its ARGB integers row by row, as Bitmap.getPixels gives them.
 */
package tfalign

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.roundToInt
import kotlin.math.sqrt

class Box(val left: Double, val top: Double, val right: Double, val bottom: Double) {
    val width get() = right - left
    val height get() = bottom - top
}

class Point(val x: Double, val y: Double)

class Picture(val argb: IntArray, val width: Int, val height: Int)

/**
 * metadata.json -> crop, the input's size from metadata.json -> input.shape, and
 * metadata.json -> box_padding -> points, which is null there where it is nothing.
 */
class Crop(
    val padding: DoubleArray, val square: Boolean, val inputHeight: Int, val inputWidth: Int,
    val boxPadding: DoubleArray = doubleArrayOf(0.0, 0.0, 0.0, 0.0))

/** A box with left, top, right and bottom added as fractions of its size. */
fun pad(box: Box, padding: DoubleArray): Box {
    val (l, t, r, b) = padding
    return Box(
        box.left - l * box.width, box.top - t * box.height,
        box.right + r * box.width, box.bottom + b * box.height)
}

/** The part of the picture that the model's input shows: the padded box, squared if asked for. */
fun region(box: Box, crop: Crop): Box {
    val padded = pad(box, crop.padding)
    if (!crop.square) return padded
    val half = max(padded.width, padded.height) / 2
    val cx = (padded.left + padded.right) / 2
    val cy = (padded.top + padded.bottom) / 2
    return Box(cx - half, cy - half, cx + half, cy + half)
}

/** Averages factor x factor pixels, so that a large face is reduced without skipping pixels. */
private fun reduced(picture: Picture, x0: Int, y0: Int, x1: Int, y1: Int, factor: Int): Picture {
    val width = (x1 - x0 + factor - 1) / factor
    val height = (y1 - y0 + factor - 1) / factor
    val out = IntArray(width * height)
    for (j in 0 until height) for (i in 0 until width) {
        var red = 0; var green = 0; var blue = 0; var count = 0
        for (y in y0 + j * factor until min(y0 + (j + 1) * factor, y1)) {
            for (x in x0 + i * factor until min(x0 + (i + 1) * factor, x1)) {
                val p = picture.argb[y * picture.width + x]
                red += p shr 16 and 0xff; green += p shr 8 and 0xff; blue += p and 0xff; count++
            }
        }
        val mean = { sum: Int -> (sum.toDouble() / count).roundToInt() }
        out[j * width + i] = (mean(red) shl 16) or (mean(green) shl 8) or mean(blue)
    }
    return Picture(out, width, height)
}

/** The region as R, G, B bytes, row by row: the model's input. Borders are repeated. */
fun cut(picture: Picture, region: Box, crop: Crop): ByteArray {
    var source = picture
    var dx = 0; var dy = 0; var factor = 1
    val shrink = sqrt(region.width / crop.inputWidth * (region.height / crop.inputHeight))
    if (shrink >= 2) {
        factor = shrink.toInt()
        dx = (floor(region.left).toInt() - 2 * factor).coerceIn(0, picture.width - 1)
        dy = (floor(region.top).toInt() - 2 * factor).coerceIn(0, picture.height - 1)
        val right = max(min(ceil(region.right).toInt() + 2 * factor, picture.width), dx + 1)
        val bottom = max(min(ceil(region.bottom).toInt() + 2 * factor, picture.height), dy + 1)
        source = reduced(picture, dx, dy, right, bottom, factor)
    }
    val bytes = ByteArray(3 * crop.inputWidth * crop.inputHeight)
    fun at(x: Int, y: Int) =
        source.argb[y.coerceIn(0, source.height - 1) * source.width + x.coerceIn(0, source.width - 1)]
    for (j in 0 until crop.inputHeight) {
        val y = (region.top + (j + 0.5) * region.height / crop.inputHeight - dy) / factor - 0.5
        val top = floor(y).toInt()
        val fy = y - top
        for (i in 0 until crop.inputWidth) {
            val x = (region.left + (i + 0.5) * region.width / crop.inputWidth - dx) / factor - 0.5
            val left = floor(x).toInt()
            val fx = x - left
            val corners = intArrayOf(at(left, top), at(left + 1, top), at(left, top + 1), at(left + 1, top + 1))
            for (c in 0..2) {
                val (a, b, d, e) = corners.map { it shr (16 - 8 * c) and 0xff }
                val value = (a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy
                bytes[3 * (j * crop.inputWidth + i) + c] = value.roundToInt().toByte()
            }
        }
    }
    return bytes
}

/** The points' tight box. */
fun tightBox(points: List<Point>) = Box(
    points.map { it.x }.min()!!, points.map { it.y }.min()!!, points.map { it.x }.max()!!, points.map { it.y }.max()!!)

/** Where the crop starts about points that were found: the box of the next pass or frame. */
fun nextBox(points: List<Point>, crop: Crop) = pad(tightBox(points), crop.boxPadding)

/**
 * Finds the landmarks of the face in a box. The second pass looks again about the first one's
 * points: a detector's box is seldom the one of the training. In films one pass is enough, from
 * the box about the points of the frame before.
 *
 * run: the model: R, G, B bytes -> u0, v0, u1, v1, ... in [0, 1] of the crop.
 */
fun landmarks(picture: Picture, box: Box, crop: Crop, passes: Int = 2, run: (ByteArray) -> FloatArray): List<Point> {
    var points = emptyList<Point>()
    for (pass in 0 until passes) {
        val part = region(if (pass == 0) box else nextBox(points, crop), crop)
        val unit = run(cut(picture, part, crop))
        points = List(unit.size / 2) { i ->
            Point(part.left + unit[2 * i] * part.width, part.top + unit[2 * i + 1] * part.height)
        }
    }
    return points
}

/** The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012, Algorithm 1) of a face's points. */
class OneEuroFilter(
    private val minCutoff: Double = 1.0, private val beta: Double = 1.0, private val speedCutoff: Double = 1.0) {
    private var seconds: Double? = null
    private var value = DoubleArray(0)
    private var speed = DoubleArray(0)

    fun reset() { seconds = null }

    /** scale: the face's size in pixels, so that near and far faces are filtered alike. */
    fun filter(points: List<Point>, now: Double, scale: Double): List<Point> {
        val new = DoubleArray(2 * points.size) { if (it % 2 == 0) points[it / 2].x else points[it / 2].y }
        val last = seconds
        if (last == null) {
            value = new
            speed = DoubleArray(new.size)
        } else {
            val step = now - last
            require(step > 0) { "Each time must be later than the last one." }
            fun share(cutoff: Double) = 1 / (1 + 1 / (2 * PI * cutoff * step))
            for (i in new.indices) {
                speed[i] += share(speedCutoff) * ((new[i] - value[i]) / (step * scale) - speed[i])
                value[i] += share(minCutoff + beta * abs(speed[i])) * (new[i] - value[i])
            }
        }
        seconds = now
        return List(points.size) { Point(value[2 * it], value[2 * it + 1]) }
    }
}
