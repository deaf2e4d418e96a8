// The first screen: the videos that are here, and a place to drop another.
import { api, frameUrl, upload } from "./api.js";
import { confirmed } from "./dialogs.js";
import { $, announce, icon, make } from "./dom.js";
import { complain, notify } from "./notices.js";

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
    const files = [...event.dataTransfer.files];
    if (document.body.dataset.screen === "start" && files.length) send(files);
  });
}

export async function showStart() {
  document.body.dataset.screen = "start";
  document.title = "tinct";
  const projects = await api.projects();
  $("projects-title").hidden = projects.length === 0;
  $("projects").replaceChildren(...projects.map(cardOf));
}

function cardOf(project) {
  const { id, name, frames, fps, width, height, status, uploaded } = project;
  const facts = `${width}×${height} · ${frames} frames${fps ? ` · ${Number(fps.toFixed(2))} fps` : ""}`;
  const picture = make("img", { src: frameUrl(id, 0, 480), alt: "", loading: "lazy" });
  const about = make("div", { className: "about" }, make("strong", { className: "ellipsis", title: name }, name), make("span", { className: "quiet" }, status === "failed" ? "cannot be read" : facts));
  const card = make("li", { className: "project" }, make("a", { href: `#/${encodeURIComponent(id)}` }, picture, about));
  if (uploaded !== false) {
    const bin = make("button", { type: "button", className: "icon", "aria-label": `Remove ${name}`, title: "Remove" }, icon("trash"));
    bin.addEventListener("click", () => remove(project));
    card.append(bin);
  }
  return card;
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

async function send(files) {
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
