// The page: open a video, paint its first frame, segment the others. No server takes part.
import { Video, labelsOf, load, workingSize } from "./segmenter.js";

const COLOURS = [null, [230, 60, 60], [60, 170, 230], [240, 190, 40]];
const RATE = 10; // frames a second that are segmented
const element = (id) => document.getElementById(id);
const picture = element("picture");
const screen = picture.getContext("2d", { willReadFrequently: true });
const say = (text) => { element("status").textContent = text; };
addEventListener("unhandledrejection", ({ reason }) => say(`It stopped: ${reason.message ?? reason}`));

ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
const model = load(ort, "model");
const film = document.createElement("video");
film.muted = true;
let size, labels, first;

const seek = (time) => new Promise((done) => {
  film.addEventListener("seeked", done, { once: true });
  film.currentTime = time;
});

function draw(found, [height, width]) {
  screen.drawImage(first ?? film, 0, 0, size[1], size[0]);
  const image = screen.getImageData(0, 0, size[1], size[0]);
  for (let y = 0; y < size[0]; y++)
    for (let x = 0; x < size[1]; x++) {
      const colour = COLOURS[found[Math.floor((y * height) / size[0]) * width + Math.floor((x * width) / size[1])]];
      const at = 4 * (y * size[1] + x);
      if (colour) for (let c = 0; c < 3; c++) image.data[at + c] = (image.data[at + c] + colour[c]) / 2;
    }
  screen.putImageData(image, 0, 0);
}

function pixels(source) {
  screen.drawImage(source, 0, 0, size[1], size[0]);
  const { data } = screen.getImageData(0, 0, size[1], size[0]);
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let i = 0; i < data.length / 4; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[4 * i + c];
  return rgb;
}

element("video").addEventListener("change", async ({ target }) => {
  film.src = URL.createObjectURL(target.files[0]);
  await new Promise((ready) => film.addEventListener("loadeddata", ready, { once: true }));
  size = workingSize(film.videoHeight, film.videoWidth, (await model).numbers);
  [picture.height, picture.width] = size;
  labels = new Uint8Array(size[0] * size[1]);
  await seek(0);
  first = await createImageBitmap(film);
  draw(labels, size);
  say("Paint each object on the frame, then press Segment.");
});

picture.addEventListener("pointermove", (event) => {
  if (!event.buttons || !first) return;
  const scale = size[1] / picture.clientWidth;
  const radius = Number(element("brush").value) / 2;
  const [x, y] = [event.offsetX * scale, event.offsetY * scale].map(Math.round);
  for (let row = Math.max(0, y - radius); row < Math.min(size[0], y + radius); row++)
    for (let column = Math.max(0, x - radius); column < Math.min(size[1], x + radius); column++)
      labels[Math.floor(row) * size[1] + Math.floor(column)] = Number(element("object").value);
  draw(labels, size);
  element("run").disabled = false;
});

element("run").addEventListener("click", async () => {
  element("run").disabled = true;
  const count = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const video = await Video.start(await model, pixels(first), labels, count, size);
  first = undefined;
  const frames = Math.floor(film.duration * RATE);
  const started = performance.now();
  window.results = []; // for whoever drives the page
  for (let index = 1; index < frames; index++) {
    await seek(index / RATE);
    const logits = await video.next(pixels(film));
    const found = labelsOf(logits);
    window.results.push({ labels: found, dims: logits.dims });
    draw(found, logits.dims.slice(1));
    const seconds = (performance.now() - started) / 1000 / index;
    say(`Frame ${index + 1} of ${frames}: ${seconds.toFixed(2)} s a frame`);
  }
  say(`Done: ${frames} frames, ${((performance.now() - started) / 1000 / (frames - 1)).toFixed(2)} s a frame`);
});
