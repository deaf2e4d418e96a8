// What is on screen and what comes next: seeking, playing, loading ahead.
import { $, clamp, icon } from "./dom.js";
import { frames } from "./frames.js";
import { masks } from "./masks.js";
import { complain } from "./notices.js";
import { seek } from "./project.js";
import { store } from "./store.js";
import { viewer } from "./viewer.js";
import { views } from "./views.js";

const AHEAD = 14; // frames loaded ahead while playing
const FASTEST = 8; // times the video's own rate
const AROUND = 4; // and to each side while not

let heading = 1; // where the user goes: forward or backward
let before = 0;

/** The current frame, then those that are likely next, nearest first. */
function likely() {
  const { project, frame, playing } = store.now;
  const ahead = playing ? AHEAD : AROUND;
  const steps = [0];
  for (let i = 1; i <= ahead; i++) steps.push(heading * i, ...(playing ? [] : [-heading * i]));
  return steps.map((step) => frame + step).filter((index) => index >= 0 && index < project.frames);
}

function load() {
  if (!store.now.project) return;
  const wanted = likely();
  frames.want(wanted);
  masks.want(wanted);
  viewer.refresh();
}

const arrived = (index) => index === store.now.frame && viewer.refresh();

export function startPlayback() {
  frames.start({ arrived, failed: complain });
  masks.start({ arrived, failed: complain });
  views.start({ arrived, failed: complain });
  viewer.sharpened = load;
  store.watch(["frame", "project", "playing"], ({ frame }) => {
    if (frame !== before) heading = frame > before ? 1 : -1;
    before = frame;
    load();
  });
  store.watch(["frame", "project"], showFrame);
  store.watch(["playing"], ({ playing }) => playing && play());
  store.watch(["playing"], showPlaying);
  store.watch(["speed", "playing"], showSpeed);
  store.watch(["loop"], ({ loop }) => $("loop").setAttribute("aria-pressed", String(loop)));
  $("loop").addEventListener("click", () => store.set({ loop: !store.now.loop }));
  $("speed").addEventListener("change", (event) => store.set({ speed: Number(event.target.value) }));
  $("play").addEventListener("click", () => togglePlay());
  const steps = {
    first: () => 0,
    previous: (now) => now.frame - 1,
    next: (now) => now.frame + 1,
    last: (now) => now.project.frames - 1,
  };
  for (const [id, step] of Object.entries(steps)) $(id).addEventListener("click", () => stepTo(step(store.now)));
  $("frame").addEventListener("change", (event) => {
    stepTo(Number(event.target.value) || 0);
    event.target.value = store.now.frame;
  });
}

/** Goes to a frame by the user's wish; playing stops. */
export function stepTo(index) {
  store.set({ playing: false });
  seek(index);
}

/** Plays forward (1) or backward (-1) as in editing programs: again, and it goes twice as fast. */
export function shuttle(direction) {
  const { playing, speed } = store.now;
  const same = playing && Math.sign(speed) === direction;
  const faster = same ? direction * Math.min(2 * Math.abs(speed), FASTEST) : direction;
  store.set({ speed: faster });
  if (!playing) togglePlay(direction);
}

/** Plays, or pauses; at the end it begins again. */
export function togglePlay(direction = 1) {
  const { project, playing, frame, speed } = store.now;
  if (!project) return;
  if (!playing) {
    const forward = (direction === -1 ? speed : Math.abs(speed)) > 0;
    store.set({ speed: forward ? Math.abs(speed) : speed });
    if (frame === (forward ? project.frames - 1 : 0)) seek(forward ? 0 : project.frames - 1);
  }
  store.set({ playing: !playing });
}

/** The frame after this one in the direction of play; null at the end. */
function following() {
  const { project, frame, speed, loop } = store.now;
  const next = frame + Math.sign(speed);
  if (next >= 0 && next < project.frames) return next;
  return loop ? (next + project.frames) % project.frames : null;
}

function play() {
  let due = performance.now();
  const tick = (now) => {
    const { project, playing, speed } = store.now;
    if (!playing || !project) return;
    const step = 1000 / ((project.fps || 25) * Math.abs(speed));
    if (now - due > 10 * step) due = now - step; // after a halt it goes on, it does not catch up
    if (now >= due + step) {
      const next = following();
      if (next === null) return store.set({ playing: false });
      if (frames.ready(next) && masks.ready(next)) {
        due += step;
        seek(next);
      }
    }
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function showPlaying({ playing }) {
  const button = $("play");
  button.replaceChildren(icon(playing ? "pause" : "play"));
  button.setAttribute("aria-label", playing ? "Pause playing" : "Play");
  button.title = `${playing ? "Pause" : "Play"} (Space)`;
}

function showSpeed({ speed, playing }) {
  const shown = String(Math.abs(speed));
  if (![...$("speed").options].some(({ value }) => value === shown)) $("speed").append(new Option(`${shown}×`, shown));
  $("speed").value = shown;
  $("speed").title = playing && speed < 0 ? "Speed (backward)" : "Speed of playing";
}

function showFrame({ project, frame }) {
  if (!project) return;
  if (document.activeElement !== $("frame")) $("frame").value = frame;
  $("frame").max = project.frames - 1;
  $("frame-last").textContent = `/ ${project.frames - 1}`;
  $("timecode").textContent = project.fps ? timecode(frame, project.fps) : "";
  $("picture").setAttribute("aria-label", `Frame ${frame} of ${project.name} with its masks`);
}

/** hours:minutes:seconds:frames, as editing programs count. */
function timecode(frame, fps) {
  const whole = clamp(Math.round(fps), 1, 1000);
  const seconds = Math.floor(frame / whole);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60, frame % whole];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
