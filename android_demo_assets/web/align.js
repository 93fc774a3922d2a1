/**
 * From a picture and a face box to landmarks in the picture's pixels, and the filter for films.
 *
 * Coordinates are continuous: pixel i covers [i, i + 1), so its centre is at i + 0.5. A picture is
 * {width, height, data}, data being R, G, B, A bytes row by row, as canvas and ImageData have it.
 */

/** The part of a picture that the model's input shows: the padded box, squared if the model wants it. */
export function region(box, crop) {
  const [x0, y0, x1, y1] = box;
  const [left, top, right, bottom] = crop.padding;
  const width = x1 - x0, height = y1 - y0;
  const padded = [x0 - left * width, y0 - top * height, x1 + right * width, y1 + bottom * height];
  if (!crop.square) return padded;
  const half = Math.max(padded[2] - padded[0], padded[3] - padded[1]) / 2;
  const cx = (padded[0] + padded[2]) / 2, cy = (padded[1] + padded[3]) / 2;
  return [cx - half, cy - half, cx + half, cy + half];
}

/** Averages factor × factor pixels of the columns and rows [x0, x1) × [y0, y1) of a picture. */
function reduced(picture, x0, y0, x1, y1, factor) {
  const width = Math.ceil((x1 - x0) / factor), height = Math.ceil((y1 - y0) / factor);
  const data = new Uint8ClampedArray(4 * width * height);
  for (let j = 0; j < height; j++) {
    for (let i = 0; i < width; i++) {
      const sum = [0, 0, 0];
      let count = 0;
      for (let y = y0 + j * factor; y < Math.min(y0 + (j + 1) * factor, y1); y++) {
        for (let x = x0 + i * factor; x < Math.min(x0 + (i + 1) * factor, x1); x++, count++) {
          const at = 4 * (y * picture.width + x);
          for (let c = 0; c < 3; c++) sum[c] += picture.data[at + c];
        }
      }
      for (let c = 0; c < 3; c++) data[4 * (j * width + i) + c] = Math.round(sum[c] / count);
    }
  }
  return {width, height, data};
}

/**
 * Cuts a region out as (height, width, 3) bytes, RGB. A region more than twice as large as the
 * output is first reduced by a whole factor, so that no pixel is skipped; beyond the picture its
 * border is repeated.
 */
export function cut(picture, [x0, y0, x1, y1], width, height) {
  let source = picture, dx = 0, dy = 0, factor = 1;
  const shrink = Math.sqrt(((x1 - x0) / width) * ((y1 - y0) / height));
  if (shrink >= 2) {
    factor = Math.floor(shrink);
    const inside = (v, high) => Math.min(Math.max(v, 0), high);
    dx = inside(Math.floor(x0) - 2 * factor, picture.width - 1);
    dy = inside(Math.floor(y0) - 2 * factor, picture.height - 1);
    const right = Math.max(Math.min(Math.ceil(x1) + 2 * factor, picture.width), dx + 1);
    const bottom = Math.max(Math.min(Math.ceil(y1) + 2 * factor, picture.height), dy + 1);
    source = reduced(picture, dx, dy, right, bottom, factor);
  }
  const bytes = new Uint8Array(3 * width * height);
  const at = (x, y) => {
    const column = Math.min(Math.max(x, 0), source.width - 1);
    return 4 * (Math.min(Math.max(y, 0), source.height - 1) * source.width + column);
  };
  for (let j = 0; j < height; j++) {
    const y = (y0 + ((j + 0.5) * (y1 - y0)) / height - dy) / factor - 0.5;
    const top = Math.floor(y), fy = y - top;
    for (let i = 0; i < width; i++) {
      const x = (x0 + ((i + 0.5) * (x1 - x0)) / width - dx) / factor - 0.5;
      const left = Math.floor(x), fx = x - left;
      const corners = [at(left, top), at(left + 1, top), at(left, top + 1), at(left + 1, top + 1)];
      for (let c = 0; c < 3; c++) {
        const [a, b, d, e] = corners.map((place) => source.data[place + c]);
        const value = (a * (1 - fx) + b * fx) * (1 - fy) + (d * (1 - fx) + e * fx) * fy;
        bytes[3 * (j * width + i) + c] = Math.round(value);
      }
    }
  }
  return bytes;
}

/** Landmarks [[u, v], …] in [0, 1] of a region → the picture's pixels. */
export function inPicture(unit, [x0, y0, x1, y1]) {
  return unit.map(([u, v]) => [x0 + u * (x1 - x0), y0 + v * (y1 - y0)]);
}

/** The points' tight box. */
export function tightBox(points) {
  const xs = points.map((p) => p[0]), ys = points.map((p) => p[1]);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** A landmark model with what metadata.json says of it. */
export class LandmarkModel {
  /** runtime: the module @litertjs/core, loaded; url: the export's folder. */
  static async load(runtime, url, accelerator = 'wasm') {
    const metadata = await (await fetch(`${url}/metadata.json`)).json();
    const model = await runtime.loadAndCompile(`${url}/model.tflite`, {accelerator});
    return new LandmarkModel(runtime, model, metadata);
  }

  constructor(runtime, model, metadata) {
    Object.assign(this, {runtime, model, metadata});
    [, this.height, this.width] = metadata.input.shape;
    if (metadata.output.dtype !== 'float32') {
      throw new TypeError(
        `The landmarks must be float32: of kind int8, not int8_full. Received: ${metadata.kind}, ${metadata.output.dtype}`);
    }
  }

  /** Runs the model on (height, width, 3) bytes; returns [[u, v], …] in [0, 1] of the crop. */
  async run(bytes) {
    const values = this.metadata.input.dtype === 'uint8' ? bytes : Float32Array.from(bytes);
    const input = new this.runtime.Tensor(values, this.metadata.input.shape);
    const outputs = await this.model.run(input);
    const output = await (Array.isArray(outputs) ? outputs[0] : outputs).moveTo('wasm');
    const numbers = Array.from(output.toTypedArray());
    input.delete();
    output.delete();
    return Array.from({length: numbers.length / 2}, (_, i) => [numbers[2 * i], numbers[2 * i + 1]]);
  }

  /** Where the crop starts about points that were found: the box of the next pass or frame. */
  boxOfPoints(points) {
    return this.padded(tightBox(points), 'points');
  }

  /** Where the crop starts in the box of a whole face, as FaceDetector finds it. */
  boxOfFace(box) {
    return this.padded(this.padded(box, 'face'), 'points');
  }

  /** A box with metadata.json → box_padding; null there means that all boxes are the same. */
  padded(box, kind) {
    const padding = this.metadata.box_padding?.[kind];
    return padding ? region(box, {padding, square: false}) : box;
  }

  /**
   * Finds the landmarks of the face in a box of the picture. The second pass looks again about
   * the first one's points: a detector's box is seldom the one of the training.
   */
  async landmarks(picture, box, passes = 2) {
    let points = [];
    for (let pass = 0; pass < passes; pass++) {
      const part = region(pass ? this.boxOfPoints(points) : box, this.metadata.crop);
      points = inPicture(await this.run(cut(picture, part, this.width, this.height)), part);
    }
    return points;
  }
}

/**
 * How much a model disagrees with itself on the mirrored crop: the points' mean distance as a share
 * of the face's size. Sure faces stay below 0.03; what is no face does not. Null without names.
 */
export async function mirrorDifference(model, picture, points) {
  const pairs = model.metadata.scheme?.flip_pairs;
  if (!pairs) return null;
  const box = tightBox(points), part = region(model.boxOfPoints(points), model.metadata.crop);
  const {width, height} = model, bytes = cut(picture, part, width, height), mirrored = new Uint8Array(bytes.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) mirrored[3 * (y * width + x) + c] = bytes[3 * (y * width + width - 1 - x) + c];
    }
  }
  const place = points.map((_, i) => i);
  for (const [i, j] of pairs) [place[i], place[j]] = [j, i];
  const seen = await model.run(mirrored);
  const back = inPicture(place.map((i) => [1 - seen[i][0], seen[i][1]]), part);
  const size = Math.sqrt((box[2] - box[0]) * (box[3] - box[1]));
  const sum = back.reduce((total, [x, y], i) => total + Math.hypot(x - points[i][0], y - points[i][1]), 0);
  return sum / points.length / size;
}

/** BlazeFace: the boxes of faces as estimates of the tight boxes of their 68 points. */
export class FaceDetector {
  static async load(runtime, url) {
    const about = await (await fetch(`${url}/detector.json`)).json();
    return new FaceDetector(runtime, await runtime.loadAndCompile(`${url}/${about.file}`), about);
  }

  constructor(runtime, model, about) {
    Object.assign(this, {runtime, model, about});
  }

  /** Returns [{box, score}, …], the best first; the picture is filled up to a square with black. */
  async detect(picture) {
    const {side, score, anchors, padding} = this.about;
    const scale = Math.max(picture.width, picture.height) / side;
    const view = cut(picture, [0, 0, side * scale, side * scale], side, side);
    const values = new Float32Array(view.length);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const outside = (x + 0.5) * scale > picture.width || (y + 0.5) * scale > picture.height;
        for (let c = 0; c < 3; c++) {
          const at = 3 * (y * side + x) + c;
          values[at] = outside ? -1 : (view[at] * 2) / 255 - 1;
        }
      }
    }
    const input = new this.runtime.Tensor(values, [1, side, side, 3]);
    const outputs = await this.model.run(input);
    input.delete();
    const numbers = outputs.map((tensor) => tensor.toTypedArray());
    const [raw, logits] = numbers[0].length > numbers[1].length ? numbers : numbers.reverse();
    const found = [];
    let k = 0;
    for (const [stride, each] of anchors) {
      const cells = side / stride;
      for (let row = 0; row < cells; row++) {
        for (let column = 0; column < cells; column++) {
          for (let a = 0; a < each; a++, k++) {
            const sure = 1 / (1 + Math.exp(-Math.min(Math.max(logits[k], -80), 80)));
            if (sure < score) continue;
            const cx = raw[16 * k] + (column + 0.5) * stride, cy = raw[16 * k + 1] + (row + 0.5) * stride;
            const w = raw[16 * k + 2] / 2, h = raw[16 * k + 3] / 2;
            const box = [cx - w, cy - h, cx + w, cy + h].map((v) => v * scale);
            found.push({score: sure, box: region(box, {padding, square: false})});
          }
        }
      }
    }
    outputs.forEach((tensor) => tensor.delete());
    found.sort((a, b) => b.score - a.score);
    return found.filter((face, i) => !found.slice(0, i).some((other) => overlap(other.box, face.box) > 0.3));
  }
}

/** Intersection over union of two boxes. */
export function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
  return (width * height) / (area(a) + area(b) - width * height);
}

/** The One-Euro filter (Casiez, Roussel, Vogel, CHI 2012, Algorithm 1) of a list of points. */
export class OneEuroFilter {
  constructor(minCutoff = 1, beta = 1, speedCutoff = 1) {
    Object.assign(this, {minCutoff, beta, speedCutoff, seconds: null});
  }

  reset() {
    this.seconds = null;
  }

  /** scale: the face's size in pixels, so that near and far faces are filtered alike. */
  filter(points, seconds, scale = 1) {
    const value = points.flat();
    if (this.seconds === null) {
      Object.assign(this, {seconds, value, speed: value.map(() => 0)});
      return points;
    }
    const step = seconds - this.seconds;
    if (step <= 0) throw new RangeError('Each time must be later than the last one.');
    const share = (cutoff) => 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
    const slow = share(this.speedCutoff);
    value.forEach((v, i) => {
      this.speed[i] += slow * ((v - this.value[i]) / (step * scale) - this.speed[i]);
      this.value[i] += share(this.minCutoff + this.beta * Math.abs(this.speed[i])) * (v - this.value[i]);
    });
    this.seconds = seconds;
    return points.map((_, i) => [this.value[2 * i], this.value[2 * i + 1]]);
  }
}
