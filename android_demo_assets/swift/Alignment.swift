// From a picture and a face box to landmarks in the picture's pixels.
//
// Coordinates are continuous, y downwards: pixel i covers [i, i + 1), so its centre is at i + 0.5. A
// picture is R, G, B, A bytes row by row, as a CGContext of RGBA8 holds them.

import Foundation

public struct Box {
    public var left, top, right, bottom: Double
    public var width: Double { right - left }
    public var height: Double { bottom - top }
    public init(_ left: Double, _ top: Double, _ right: Double, _ bottom: Double) {
        (self.left, self.top, self.right, self.bottom) = (left, top, right, bottom)
    }
}

public struct Point { public var x, y: Double }

public struct Picture {
    public var rgba: [UInt8]
    public var width, height: Int
}

/// metadata.json → crop, the input's size from metadata.json → input.shape, and
/// metadata.json → box_padding → points, which is null there where it is nothing.
public struct Crop {
    public var padding: [Double]
    public var square: Bool
    public var inputHeight, inputWidth: Int
    public var boxPadding: [Double] = [0, 0, 0, 0]
}

/// A box with left, top, right and bottom added as fractions of its size.
public func pad(_ box: Box, _ p: [Double]) -> Box {
    Box(box.left - p[0] * box.width, box.top - p[1] * box.height,
        box.right + p[2] * box.width, box.bottom + p[3] * box.height)
}

/// The part of the picture that the model's input shows: the padded box, squared if asked for.
public func region(_ box: Box, _ crop: Crop) -> Box {
    let padded = pad(box, crop.padding)
    guard crop.square else { return padded }
    let half = max(padded.width, padded.height) / 2
    let cx = (padded.left + padded.right) / 2, cy = (padded.top + padded.bottom) / 2
    return Box(cx - half, cy - half, cx + half, cy + half)
}

/// Averages factor × factor pixels, so that a large face is reduced without skipping pixels.
private func reduced(_ picture: Picture, _ x0: Int, _ y0: Int, _ x1: Int, _ y1: Int, _ factor: Int) -> Picture {
    let width = (x1 - x0 + factor - 1) / factor, height = (y1 - y0 + factor - 1) / factor
    var out = [UInt8](repeating: 255, count: 4 * width * height)
    for j in 0..<height {
        for i in 0..<width {
            var sum = [0, 0, 0], count = 0
            for y in (y0 + j * factor)..<min(y0 + (j + 1) * factor, y1) {
                for x in (x0 + i * factor)..<min(x0 + (i + 1) * factor, x1) {
                    for c in 0..<3 { sum[c] += Int(picture.rgba[4 * (y * picture.width + x) + c]) }
                    count += 1
                }
            }
            for c in 0..<3 { out[4 * (j * width + i) + c] = UInt8((Double(sum[c]) / Double(count)).rounded()) }
        }
    }
    return Picture(rgba: out, width: width, height: height)
}

/// The region as R, G, B bytes, row by row: the model's input. Borders are repeated.
public func cut(_ picture: Picture, _ region: Box, _ crop: Crop) -> Data {
    var source = picture, dx = 0, dy = 0, factor = 1
    let shrink = (region.width / Double(crop.inputWidth) * region.height / Double(crop.inputHeight)).squareRoot()
    if shrink >= 2 {
        factor = Int(shrink)
        dx = min(max(Int(region.left.rounded(.down)) - 2 * factor, 0), picture.width - 1)
        dy = min(max(Int(region.top.rounded(.down)) - 2 * factor, 0), picture.height - 1)
        let right = max(min(Int(region.right.rounded(.up)) + 2 * factor, picture.width), dx + 1)
        let bottom = max(min(Int(region.bottom.rounded(.up)) + 2 * factor, picture.height), dy + 1)
        source = reduced(picture, dx, dy, right, bottom, factor)
    }
    func at(_ x: Int, _ y: Int, _ c: Int) -> Double {
        let column = min(max(x, 0), source.width - 1), row = min(max(y, 0), source.height - 1)
        return Double(source.rgba[4 * (row * source.width + column) + c])
    }
    var bytes = Data(capacity: 3 * crop.inputWidth * crop.inputHeight)
    for j in 0..<crop.inputHeight {
        let y = (region.top + (Double(j) + 0.5) * region.height / Double(crop.inputHeight) - Double(dy)) / Double(factor) - 0.5
        let top = Int(y.rounded(.down)), fy = y - Double(top)
        for i in 0..<crop.inputWidth {
            let x = (region.left + (Double(i) + 0.5) * region.width / Double(crop.inputWidth) - Double(dx)) / Double(factor) - 0.5
            let left = Int(x.rounded(.down)), fx = x - Double(left)
            for c in 0..<3 {
                let upper = at(left, top, c) * (1 - fx) + at(left + 1, top, c) * fx
                let lower = at(left, top + 1, c) * (1 - fx) + at(left + 1, top + 1, c) * fx
                bytes.append(UInt8((upper * (1 - fy) + lower * fy).rounded()))
            }
        }
    }
    return bytes
}

/// The points' tight box.
public func tightBox(_ points: [Point]) -> Box {
    let xs = points.map { $0.x }, ys = points.map { $0.y }
    return Box(xs.min()!, ys.min()!, xs.max()!, ys.max()!)
}

/// Where the crop starts about points that were found: the box of the next pass or frame.
public func nextBox(_ points: [Point], _ crop: Crop) -> Box { pad(tightBox(points), crop.boxPadding) }

/// Finds the landmarks of the face in a box. The second pass looks again about the first one's
/// points: a detector's box is seldom the one of the training. In films one pass is enough, from
/// the box about the points of the frame before.
///
/// run: the model: R, G, B bytes → u0, v0, u1, v1, … in [0, 1] of the crop.
public func alignedLandmarks(_ picture: Picture, _ box: Box, _ crop: Crop, passes: Int = 2,
                             run: (Data) throws -> [Float32]) rethrows -> [Point] {
    var points: [Point] = []
    for pass in 0..<passes {
        let part = region(pass == 0 ? box : nextBox(points, crop), crop)
        let unit = try run(cut(picture, part, crop))
        points = stride(from: 0, to: unit.count, by: 2).map {
            Point(x: part.left + Double(unit[$0]) * part.width, y: part.top + Double(unit[$0 + 1]) * part.height)
        }
    }
    return points
}

/// The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012, Algorithm 1) of a face's points.
public final class OneEuroFilter {
    private let minCutoff, beta, speedCutoff: Double
    private var seconds: Double?
    private var value: [Double] = [], speed: [Double] = []

    public init(minCutoff: Double = 1, beta: Double = 1, speedCutoff: Double = 1) {
        (self.minCutoff, self.beta, self.speedCutoff) = (minCutoff, beta, speedCutoff)
    }

    public func reset() { seconds = nil }

    /// scale: the face's size in pixels, so that near and far faces are filtered alike.
    public func filter(_ points: [Point], at now: Double, scale: Double) -> [Point] {
        let new = points.flatMap { [$0.x, $0.y] }
        if let last = seconds {
            let step = now - last
            precondition(step > 0, "Each time must be later than the last one.")
            func share(_ cutoff: Double) -> Double { 1 / (1 + 1 / (2 * Double.pi * cutoff * step)) }
            for i in new.indices {
                speed[i] += share(speedCutoff) * ((new[i] - value[i]) / (step * scale) - speed[i])
                value[i] += share(minCutoff + beta * abs(speed[i])) * (new[i] - value[i])
            }
        } else {
            value = new
            speed = new.map { _ in 0 }
        }
        seconds = now
        return points.indices.map { Point(x: value[2 * $0], y: value[2 * $0 + 1]) }
    }
}
