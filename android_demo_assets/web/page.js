/** The page: camera, picture or clip → face detector → landmarks → filter → overlay. */

import * as litert from '@litertjs/core';
import {FaceDetector, LandmarkModel, OneEuroFilter, mirrorDifference, tightBox} from './align.js';

const element = (id) => document.getElementById(id);
const view = element('view'), film = element('film'), brush = view.getContext('2d', {willReadFrequently: true});
const say = (text) => { element('said').textContent = text; };
const LOST = 0.1;   // of the face's size: where the mirrored look differs by more, there is no face
let model, detector, running = 0;
let fresh = null;   // seconds: the time of a frame of the film that was not looked at yet

/** Draws a source (picture, camera or clip) into the canvas and returns its pixels. */
function draw(source, width, height) {
  const scale = Math.min(1, 1280 / Math.max(width, height));
  view.width = Math.round(width * scale);
  view.height = Math.round(height * scale);
  brush.drawImage(source, 0, 0, view.width, view.height);
  return brush.getImageData(0, 0, view.width, view.height);
}

function overlay(points) {
  const [x0, , x1] = tightBox(points), size = (x1 - x0) / 100;
  brush.lineWidth = Math.max(1, size);
  brush.strokeStyle = '#00d26a';
  brush.fillStyle = '#ffffff';
  for (const [a, b] of model.metadata.scheme?.edges ?? []) {
    brush.beginPath();
    brush.moveTo(...points[a]);
    brush.lineTo(...points[b]);
    brush.stroke();
  }
  for (const [x, y] of points) {
    brush.beginPath();
    brush.arc(x, y, Math.max(1, size), 0, 2 * Math.PI);
    brush.fill();
  }
}

/** The boxes to start from: the detector's, or the middle of the picture where there is none. */
async function boxes(picture) {
  if (detector) return (await detector.detect(picture)).map((face) => face.box);
  const side = 0.5 * Math.min(picture.width, picture.height);
  const cx = picture.width / 2, cy = picture.height / 2;
  return [[cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2]];
}

/** Finds and draws the faces of one picture; returns their points. */
export async function showPicture(source, width, height) {
  const picture = draw(source, width, height), start = performance.now();
  const faces = [];
  for (const box of await boxes(picture)) {
    const points = await model.landmarks(picture, model.boxOfFace(box));
    faces.push({points, difference: await mirrorDifference(model, picture, points)});
  }
  const ms = performance.now() - start;
  faces.forEach((face) => overlay(face.points));
  const quality = faces.map((face) => face.difference === null ? 'unknown' : `${(100 * face.difference).toFixed(1)} %`);
  say(`${faces.length} face(s) in ${ms.toFixed(0)} ms; the mirrored look differs by ${quality.join(', ') || '–'} of the face`);
  return faces.map((face) => face.points);
}

/**
 * Notes each frame as it is shown. The screen shows most frames of a film several times, and a filter that meets
 * one again takes it for a face that stood still. A film's times are its own, a camera's are the clock's.
 */
function notice(now, {mediaTime}) {
  fresh = film.srcObject ? now / 1000 : mediaTime;
  film.requestVideoFrameCallback(notice);
}

/** Follows one face through the frames of a film: each crop is cut about the frame before. */
async function follow() {
  const turn = ++running, filter = new OneEuroFilter();
  const told = 'requestVideoFrameCallback' in film;   // in older browsers the film's clock must do
  let box = null, times = [], last = -1;
  while (turn === running && !film.ended) {
    const seconds = told ? fresh : film.currentTime;
    if (seconds !== null && seconds !== last && film.videoWidth && film.readyState >= 2) {
      fresh = null;
      if (seconds < last) box = null;   // back in the film: begin anew
      last = seconds;
      const picture = draw(film, film.videoWidth, film.videoHeight), start = performance.now();
      if (box === null) {
        const [face] = await boxes(picture);
        box = face ? model.boxOfFace(face) : null;
        filter.reset();
      }
      if (box !== null) {
        const found = await model.landmarks(picture, box, 1);
        const difference = await mirrorDifference(model, picture, found);
        times = [...times.slice(-29), performance.now() - start];
        if (difference !== null && difference > LOST) {
          box = null;
        } else {
          box = model.boxOfPoints(found);
          const [x0, y0, x1, y1] = tightBox(found), size = Math.sqrt((x1 - x0) * (y1 - y0));
          overlay(filter.filter(found, seconds, size));
        }
        const mean = times.reduce((a, b) => a + b, 0) / times.length;
        say(`${mean.toFixed(1)} ms a frame; the mirrored look differs by ${(100 * (difference ?? 0)).toFixed(1)} % of the face`);
      }
    }
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  running++;
  film.pause();
  film.srcObject?.getTracks().forEach((track) => track.stop());
  film.srcObject = null;
  fresh = null;
}

/** Makes a handler that tells what fails, as a picture that the browser cannot read or a camera that is refused. */
const telling = (handler) => (event) => handler(event).catch((error) => say(`error: ${error.message}`));

async function load() {
  say('Loading the model …');
  const accelerator = element('accelerator').value;
  model = await LandmarkModel.load(litert, element('model').value, accelerator);
  say(`Ready: ${model.metadata.kind}, ${model.metadata.model.num_landmarks} points. ` +
      `Licence of the weights: ${model.metadata.licence?.weights ?? 'not stated'}`);
}

async function start() {
  const {models} = await (await fetch('models.json')).json();
  for (const {name, folder} of models) element('model').add(new Option(name, folder));
  await litert.loadLiteRt('./node_modules/@litertjs/core/wasm/');
  detector = await FaceDetector.load(litert, '.').catch(() => null);
  await load();
  if (!detector) say(`${element('said').textContent}\nNo detector.json: put the face in the middle of the picture.`);
  element('model').onchange = element('accelerator').onchange = telling(load);
  element('stop').onclick = stop;
  if ('requestVideoFrameCallback' in film) film.requestVideoFrameCallback(notice);
  element('camera').onclick = telling(async () => {
    stop();
    film.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: 'user'}});
    await film.play();
    await follow();
  });
  element('file').onchange = telling(async ({target}) => {
    stop();
    const [file] = target.files;
    if (!file) return;
    if (file.type.startsWith('video/')) {
      film.src = URL.createObjectURL(file);
      await film.play();
      await follow();
    } else {
      const bitmap = await createImageBitmap(file);
      await showPicture(bitmap, bitmap.width, bitmap.height);
    }
  });
  document.body.dataset.ready = 'yes';
  // index.html?picture=URL shows a picture at once, for tests and screenshots.
  const wanted = new URLSearchParams(location.search).get('picture');
  if (wanted) {
    const bitmap = await createImageBitmap(await (await fetch(wanted)).blob());
    await showPicture(bitmap, bitmap.width, bitmap.height);
  }
}

start().catch((error) => say(`error: ${error.message}`));
