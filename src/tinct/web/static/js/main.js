// The page as a whole: starts its parts, and follows the address (#/video/frame).
import { api } from "./api.js";
import { $, keepIcons } from "./dom.js";
import { startCopyPrevious } from "./copy-previous.js";
import { startExports } from "./exports.js";
import { startFinishing } from "./finishing.js";
import { redrawGestures, startGestures } from "./gestures.js";
import { complain } from "./notices.js";
import { startOnion } from "./onion.js";
import { showPresence, startObjects } from "./objects.js";
import { startPlayback } from "./playback.js";
import { acquireWriterLock, adopt, closeProject, openProject, seek } from "./project.js";
import { startRunPanel } from "./run-panel.js";
import { startRuns } from "./runs.js";
import { startCopies } from "./copies.js";
import { startSaver } from "./saver.js";
import { startShortcuts } from "./shortcuts.js";
import { showStart, startScreen } from "./start.js";
import { store } from "./store.js";
import { settleTab } from "./tab.js";
import { startTheme } from "./theme.js";
import { startTimeline } from "./timeline.js";
import { startToolbar } from "./toolbar.js";
import { toolNamed } from "./tools/index.js";
import { startTransfers } from "./transfers.js";
import { viewer } from "./viewer.js";

const SAVING = { saved: "Saved", saving: "Saving…", failed: "Not saved" };

function wanted() {
  const [, project, frame] = location.hash.match(/^#\/?([^/]+)(?:\/(\d+))?$/) ?? [];
  return { project: project && decodeURIComponent(project), frame: Number(frame ?? 0) };
}

/** Shows what the address says: a video at a frame, or all videos. */
async function go() {
  const { project, frame } = wanted();
  try {
    if (!project) {
      closeProject();
      return await showStart();
    }
    if (store.now.project?.id === project) return seek(frame);
    document.body.dataset.screen = "studio";
    await openProject(project, frame);
    document.title = `${store.now.project.name} – tinct`;
    viewer.open();
  } catch (error) {
    complain(error);
    closeProject();
    if (project) location.hash = "#/";
    else document.body.dataset.screen = "start";
  }
}

let addressing = 0;
function keepAddress({ project, frame }) {
  clearTimeout(addressing);
  if (!project) return;
  // Not at every frame of a video that plays: browsers refuse too many.
  const address = `#/${encodeURIComponent(project.id)}/${frame}`;
  addressing = setTimeout(() => history.replaceState(null, "", address), 250);
}

function showFacts({ project }) {
  if (!project) return;
  const { name, width, height, frames, fps } = project;
  $("project-name").textContent = name;
  const rate = fps ? ` · ${Number(fps.toFixed(2))} fps` : "";
  $("project-facts").textContent = `${width}×${height} · ${frames} frames${rate}`;
  $("undo").disabled = !project.can_undo || !store.now.mayWrite;
  $("redo").disabled = !project.can_redo || !store.now.mayWrite;
}

function showSaving({ saving }) {
  $("saving").dataset.state = saving;
  $("saving").textContent = SAVING[saving];
}

function showHint({ project, frame }) {
  if (!project) return;
  const hint = $("stage-hint");
  hint.hidden = project.prompts.length > 0 || project.done.length > 0;
  hint.textContent = frame
    ? "Paint an object on this frame, or go to another."
    : "Paint an object here, then press R: the other frames follow.";
}

async function start() {
  startTheme();
  startToolbar();
  startSaver((document) => adopt(document));
  startObjects();
  startPlayback();
  startTimeline();
  startTransfers();
  startExports();
  startFinishing();
  startOnion();
  startCopyPrevious();
  startCopies();
  startRuns();
  startGestures(toolNamed);
  startShortcuts();
  viewer.start(redrawGestures, showPresence);
  startScreen((id) => (location.hash = `#/${encodeURIComponent(id)}`));
  store.watch(["project", "mayWrite"], showFacts);
  store.watch(["project", "frame"], keepAddress);
  store.watch(["project", "frame"], showHint);
  store.watch(["saving"], showSaving);
  store.watch(["mayWrite"], ({ mayWrite }) => ($("watching").hidden = mayWrite));
  $("take-over").addEventListener("click", () => acquireWriterLock(true).catch(complain));
  $("home").addEventListener("click", () => (location.hash = "#/"));
  window.addEventListener("hashchange", go);
  await keepIcons().catch(complain);
  await settleTab();
  await startRunPanel().catch(complain);
  if (!wanted().project && location.hash !== "#/") await openOnlyVideo();
  await go();
}

async function openOnlyVideo() {
  const projects = await api.projects().catch(() => []);
  if (projects.length === 1) history.replaceState(null, "", `#/${encodeURIComponent(projects[0].id)}`);
}

start();
