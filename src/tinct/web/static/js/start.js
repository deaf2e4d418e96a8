// The first screen: the videos that are here, and a place to drop another.
import { api, frameUrl, upload } from "./api.js";
import { confirmed } from "./dialogs.js";
import { $, announce, iconButton, make } from "./dom.js";
import { filesOf } from "./dropped.js";
import { complain, notify } from "./notices.js";

const OPENING_MS = 1000; // how often videos that are being opened are asked for

let opened = () => {};

/** `open` is called with the id of the video to open. */
export function startScreen(open) {
  opened = open;
  $("file").addEventListener("change", (event) => {
    send([...event.target.files]);
    event.target.value = "";
  });
  const drop = $("drop");
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault(); // a file dropped beside the place must not replace the page
      drop.classList.toggle("over", name === "dragover");
    });
  }
  document.addEventListener("drop", (event) => {
    if (document.body.dataset.screen === "start") filesOf(event).then(send).catch(complain);
  });
}

export async function showStart() {
  const projects = await api.projects();
  if (location.hash.length > 2) return; // another address since
  document.body.dataset.screen = "start";
  document.title = "tinct";
  $("projects-title").hidden = projects.length === 0;
  $("projects").replaceChildren(...projects.map(cardOf));
  const opening = projects.some(({ frames, error }) => !frames && !error);
  if (opening && document.body.dataset.screen === "start") setTimeout(() => showStart().catch(complain), OPENING_MS);
}

function cardOf(project) {
  const { id, name, frames, uploaded } = project;
  const about = make(
    "div",
    { className: "about" },
    make("strong", { className: "ellipsis", title: name }, name),
    make("span", { className: project.error ? "wrong" : "quiet" }, factsOf(project)),
  );
  const inside = frames
    ? make("a", { href: `#/${encodeURIComponent(id)}` }, make("img", { src: frameUrl(id, 0, 480), alt: "" }), about)
    : make("div", {}, make("div", { className: "blank" }), about);
  const card = make("li", { className: "project" }, inside);
  if (uploaded) {
    card.append(iconButton("trash", `Remove ${name}`, () => remove(project)));
  }
  return card;
}

const STATES = { queued: "in the queue", starting: "running", running: "running", paused: "paused", done: "done" };

function factsOf({ frames, fps, width, height, error, status, painted, computed }) {
  if (error) return error;
  if (!frames) return "Opening…";
  const work = [[painted, "painted"], [computed, "computed"]].filter(([count]) => count).map((each) => each.join(" "));
  const state = [...work, STATES[status] ?? ""].filter(Boolean).map((text) => ` · ${text}`).join("");
  return `${width}×${height} · ${frames} frames${fps ? ` · ${Number(fps.toFixed(2))} fps` : ""}${state}`;
}

async function remove({ id, name }) {
  const text = `The uploaded copy of ${name} and everything painted and computed on it are deleted for good.`;
  if (!(await confirmed(`Remove ${name}?`, text, "Remove"))) return;
  try {
    await api.remove(id);
    await showStart();
  } catch (error) {
    complain(error);
  }
}

/** Uploads a video or pictures, and opens it. */
export async function send(files) {
  if (!files.length) return;
  const box = $("upload");
  if (!box.hidden) return notify("One upload is under way. Wait until it is here, or cancel it.", "error");
  box.hidden = false;
  $("upload-name").textContent = files.length > 1 ? `${files.length} pictures` : files[0].name;
  $("upload-bar").value = 0;
  const sending = upload(files, (share) => {
    if (share < 1) $("upload-bar").value = share;
    else $("upload-bar").removeAttribute("value"); // the server reads it now
  });
  $("upload-cancel").onclick = sending.stop;
  try {
    const project = await sending.answer;
    if (project) {
      announce("The video is here.");
      opened(project.id);
    }
  } catch (error) {
    complain(error);
  } finally {
    box.hidden = true;
  }
}
