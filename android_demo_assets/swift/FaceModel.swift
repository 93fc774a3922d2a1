// Alignment.swift with LiteRT's Interpreter: pod 'TensorFlowLiteSwift'.

import CoreGraphics
import TensorFlowLite

/// The pixels of an image, drawn into RGBA8; y downwards.
func picture(of image: CGImage) -> Picture? {
    var rgba = [UInt8](repeating: 0, count: 4 * image.width * image.height)
    let drawn = rgba.withUnsafeMutableBytes { bytes -> Bool in
        guard let context = CGContext(
            data: bytes.baseAddress, width: image.width, height: image.height, bitsPerComponent: 8,
            bytesPerRow: 4 * image.width, space: CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue) else { return false }
        context.draw(image, in: CGRect(x: 0, y: 0, width: image.width, height: image.height))
        return true
    }
    return drawn ? Picture(rgba: rgba, width: image.width, height: image.height) : nil
}

/// An exported model. For one thread at a time.
final class FaceModel {
    private let interpreter: Interpreter
    private let crop: Crop

    init(path: String, crop: Crop) throws {
        interpreter = try Interpreter(modelPath: path)
        try interpreter.allocateTensors()
        self.crop = crop
    }

    func landmarks(_ picture: Picture, _ box: Box, passes: Int = 2) throws -> [Point] {
        try alignedLandmarks(picture, box, crop, passes: passes) { bytes in
            try interpreter.copy(bytes, toInputAt: 0)
            try interpreter.invoke()
            let output = try interpreter.output(at: 0)
            precondition(output.dataType == .float32, "The landmarks must be float32: of kind int8, not int8_full.")
            return output.data.withUnsafeBytes { Array($0.bindMemory(to: Float32.self)) }
        }
    }
}

/// edges: metadata.json → scheme.edges.
func draw(_ points: [Point], edges: [[Int]], in context: CGContext) {
    let places = points.map { CGPoint(x: $0.x, y: $0.y) }
    for edge in edges { context.strokeLineSegments(between: [places[edge[0]], places[edge[1]]]) }
    for p in places { context.fillEllipse(in: CGRect(x: p.x - 2, y: p.y - 2, width: 4, height: 4)) }
}
