"""The web page's code in a real browser: a folder served to a headless Chromium, which answers.

Needs the program ``chromium`` (Debian: ``apt-get install chromium``) and ``@litertjs/core``, which
``npm ci`` takes; tests are skipped, saying so, where one is missing.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE = """<!doctype html><meta charset="utf-8"><script type="importmap">
{"imports": {"@litertjs/core": "./node_modules/@litertjs/core/dist/index.js",
             "@litertjs/wasm-utils": "./node_modules/@litertjs/wasm-utils/dist/index.js"}}
</script><script type="module">
import * as litert from '@litertjs/core';
import {LandmarkModel, OneEuroFilter, FaceDetector, tightBox} from './align.js';

const bytes = async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer());
const models = {};
const load = async (folder) => models[folder] ??= await LandmarkModel.load(litert, folder);
const picture = async (p) => ({...p, data: await bytes(p.file)});
const tasks = {
  async run({model, images, count, repeat}) {
    const m = await load(model), all = await bytes(images), size = all.length / count;
    const points = [];
    for (let k = 0; k < count; k++) points.push(await m.run(all.slice(k * size, (k + 1) * size)));
    const times = [];
    for (let k = 0; k < (repeat ?? 0); k++) {
      const start = performance.now();
      await m.run(all.slice(0, size));
      times.push(performance.now() - start);
    }
    return {points, times};
  },
  async picture({model, picture: p, box, passes}) {
    return (await load(model)).landmarks(await picture(p), box, passes);
  },
  async face({model, picture: p, box}) {
    const m = await load(model);
    return m.landmarks(await picture(p), m.boxOfFace(box), 2);
  },
  async follow({model, frames, box, seconds}) {
    const m = await load(model), filter = new OneEuroFilter(), found = [];
    for (let k = 0; k < frames.length; k++) {
      const points = await m.landmarks(await picture(frames[k]), box, 1);
      const [x0, y0, x1, y1] = tightBox(points), size = Math.sqrt((x1 - x0) * (y1 - y0));
      box = m.boxOfPoints(points);
      found.push(filter.filter(points, seconds[k], size));
    }
    return found;
  },
  async detect({picture: p}) {
    return (await FaceDetector.load(litert, '.')).detect(await picture(p));
  },
};
const answer = (value) => fetch('/answer', {method: 'POST', body: JSON.stringify(value)});
try {
  await litert.loadLiteRt('./node_modules/@litertjs/core/wasm/');
  const results = [];
  const list = await (await fetch('tasks.json')).json();
  for (const task of list) results.push(await tasks[task.do](task));
  await answer({results});
} catch (error) {
  await answer({error: `${error}\\n${error.stack}`});
}
</script>"""


class Browser:
    """Serves a copy of ``android_demo_assets/web`` and runs tasks in it.

    Args:
        web: The folder of the page's sources.
        folder: An empty folder to serve.
    """

    def __init__(self, web: Path, folder: Path) -> None:
        self.program = next(filter(None, map(shutil.which, NAMES)), None)
        if self.program is None:
            pytest.skip("no Chromium here: apt-get install chromium")
        self.folder = folder
        self._profile = folder.with_name(folder.name + "-profile")
        folder.mkdir()
        for file in web.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
        if (web / "node_modules").is_dir():
            (folder / "node_modules").symlink_to(web / "node_modules")
        else:
            self._install()
        (folder / "test.html").write_text(PAGE, encoding="utf-8")

    def _install(self) -> None:
        if shutil.which("npm") is None:
            pytest.skip("no npm here, which takes @litertjs/core: apt-get install npm")
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm ci cannot take @litertjs/core: {done.stderr.strip()[-200:]}")

    def store(self, name: str, array: np.ndarray) -> str:
        """Stores bytes where the page can fetch them."""
        (self.folder / name).write_bytes(np.ascontiguousarray(array, np.uint8).tobytes())
        return name

    def picture(self, name: str, image: np.ndarray) -> dict[str, Any]:
        """Stores an RGB image (H, W, 3) as R, G, B, A bytes and describes it for the page."""
        opaque = np.full((*image.shape[:2], 1), 255, np.uint8)
        file = self.store(name, np.concatenate([image, opaque], axis=-1))
        return {"file": file, "width": image.shape[1], "height": image.shape[0]}

    def run(self, *tasks: dict[str, Any]) -> list[Any]:
        """Does tasks in the browser, see ``PAGE``; returns their results."""
        (self.folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")
        arrived, answers = threading.Event(), []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_POST(self) -> None:
                answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()
                arrived.set()

            def log_message(self, *_: Any) -> None:
                pass

        with self._serving(Handler) as address, self._chromium(f"{address}/test.html"):
            assert arrived.wait(240), "the browser did not answer"
        assert "error" not in answers[0], answers[0]["error"]
        return list(answers[0]["results"])

    def screenshot(self, page: str, out: Path, size: tuple[int, int], seconds: int = 20) -> None:
        """Writes a picture of a page as it is after some seconds of its own time."""
        handler = http.server.SimpleHTTPRequestHandler
        with self._serving(handler) as address:
            command = self._command(f"{address}/{page}")
            command[1:1] = [
                f"--screenshot={out}",
                f"--window-size={size[0]},{size[1]}",
                f"--virtual-time-budget={1000 * seconds}",
            ]
            subprocess.run(command, capture_output=True, timeout=240, check=True)

    def _command(self, url: str) -> list[str]:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        flags += ["--disable-dev-shm-usage", f"--user-data-dir={self._profile}"]
        return [str(self.program), *flags, url]

    @contextlib.contextmanager
    def _serving(self, handler: type) -> Iterator[str]:
        made = functools.partial(handler, directory=str(self.folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), made)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()

    @contextlib.contextmanager
    def _chromium(self, url: str) -> Iterator[None]:
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(self._command(url), stdout=nowhere, stderr=nowhere)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
