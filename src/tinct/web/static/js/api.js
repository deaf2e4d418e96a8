// The server, as functions. Every failure is a ServerError whose message can be shown as it is.
import { tab } from "./tab.js";

export class ServerError extends Error {
  /** @param {number} status the HTTP status; 0 when no answer came */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const RETRY_MS = 1500;
const SILENT =
  "The server does not answer. Look at the terminal in which tinct app runs; start it again there, " +
  "and this page goes on.";

async function explained(answer) {
  let message = `The server answered ${answer.status}.`;
  try {
    message = (await answer.json()).error ?? message;
  } catch {
    // No JSON: the status must do.
  }
  return new ServerError(message, answer.status);
}

async function ask(method, path, { json, body, type, signal } = {}) {
  const headers = method === "GET" ? {} : { "X-Tinct-Tab": tab.id };
  if (json !== undefined) {
    body = JSON.stringify(json);
    type = "application/json";
  }
  if (type) headers["Content-Type"] = type;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(SILENT, 0);
  }
  if (!answer.ok) throw await explained(answer);
  return answer;
}

async function askJson(method, path, options) {
  const answer = await ask(method, path, options);
  return (answer.headers.get("Content-Type") ?? "").includes("json") ? answer.json() : null;
}

const at = (project) => `/api/projects/${encodeURIComponent(project)}`;
const formOf = (entries) => {
  const form = new FormData();
  for (const [name, value] of entries) form.append(name, value);
  return form;
};

const sized = (width) => (width ? `?width=${width}` : "");
export const frameUrl = (project, index, width) => `${at(project)}/frames/${index}.jpg${sized(width)}`;
export const copyUrl = (project, embed) => `${at(project)}/copy?embed=${embed ? 1 : 0}`;
export const exportUrl = (project, name) => `${at(project)}/exports/${encodeURIComponent(name)}`;

export const api = {
  methods: () => askJson("GET", "/api/methods"),
  formats: () => askJson("GET", "/api/exports"),
  projects: () => askJson("GET", "/api/projects"),
  project: (p) => askJson("GET", at(p)),
  remove: (p) => askJson("DELETE", at(p)),

  frame: async (p, index, width, signal) => (await ask("GET", frameUrl(p, index, width), { signal })).blob(),
  /** The bytes of a frame's mask PNG; null where there is none. */
  mask: async (p, index, version, signal, before = null) => {
    const query = before === null ? `v=${version}` : `v=${version}&before=${before}`;
    try {
      return await (await ask("GET", `${at(p)}/masks/${index}.png?${query}`, { signal })).arrayBuffer();
    } catch (error) {
      if (error.status === 404) return null;
      throw error;
    }
  },

  /** The finished alpha of some objects (ids with commas) in a frame. */
  alpha: async (p, index, ids, signal) =>
    (await ask("GET", `${at(p)}/alphas/${index}.png?objects=${ids}`, { signal })).blob(),
  setFinishing: (p, id, rules) => askJson("PUT", `${at(p)}/finishing/${id}`, { json: { rules } }),
  keepSoftMasks: (p, keep) => askJson("PUT", `${at(p)}/soft-masks`, { json: { keep } }),
  exports: (p) => askJson("GET", `${at(p)}/exports`),
  deleteExport: (p, name) => askJson("DELETE", exportUrl(p, name)),

  paint: (p, index, png) => askJson("PUT", `${at(p)}/prompts/${index}`, { body: png, type: "image/png" }),
  withdraw: (p, index) => askJson("DELETE", `${at(p)}/prompts/${index}`),
  outline: async (p, request) => (await ask("POST", `${at(p)}/outline`, { json: request })).arrayBuffer(),

  addObject: (p, object) => askJson("POST", `${at(p)}/objects`, { json: object }),
  changeObject: (p, id, change) => askJson("PATCH", `${at(p)}/objects/${id}`, { json: change }),
  deleteObject: (p, id) => askJson("DELETE", `${at(p)}/objects/${id}`),
  undo: (p) => askJson("POST", `${at(p)}/undo`),
  redo: (p) => askJson("POST", `${at(p)}/redo`),

  run: (p, request) => askJson("POST", `${at(p)}/run`, { json: request }),
  pause: (p) => askJson("POST", `${at(p)}/pause`),
  resume: (p) => askJson("POST", `${at(p)}/resume`),
  cancel: (p) => askJson("POST", `${at(p)}/cancel`),
  judge: (p, run, verdict, later = false) =>
    askJson("POST", `${at(p)}/runs/${run}/verdict`, { json: { verdict, later } }),
  lock: (p, first, last, locked) => askJson("POST", `${at(p)}/locks`, { json: { first, last, locked } }),
  acquireWriterLock: (p, force) => askJson("POST", `${at(p)}/writer-lock`, { json: { force } }),

  importMasks: (p, file, frame, replace) =>
    askJson("POST", `${at(p)}/import`, {
      body: formOf([["frame", String(frame)], ["replace", String(Boolean(replace))], ["file", file]]),
    }),
  exportMasks: (p, request) => askJson("POST", `${at(p)}/export`, { json: request }),
};

/**
 * Sends a video or pictures, and says how far it is (0 to 1).
 * @returns {{answer: Promise<object>, stop: () => void}} the new project; `stop` gives up
 */
export function upload(files, progress) {
  const request = new XMLHttpRequest();
  const answer = new Promise((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => total && progress(loaded / total);
    request.onload = () => {
      let reply = null;
      try {
        reply = JSON.parse(request.responseText);
      } catch {
        // Explained below.
      }
      if (request.status < 300 && reply) resolve(reply);
      else reject(new ServerError(reply?.error ?? `The server answered ${request.status}.`, request.status));
    };
    request.onerror = () => reject(new ServerError(SILENT, 0));
    request.onabort = () => resolve(null);
  });
  request.open("POST", "/api/projects");
  request.setRequestHeader("X-Tinct-Tab", tab.id);
  request.send(formOf(files.map((file) => ["file", file])));
  return { answer, stop: () => request.abort() };
}

/**
 * Listens to a project's events.
 * @param handlers {frame, run, project, notice, error, lost, found}: the last two when the connection goes and comes
 * @returns a function that stops listening
 */
export function listen(p, handlers) {
  let source = null;
  let lost = false;
  let again = 0;
  const open = () => {
    source = new EventSource(`${at(p)}/events?tab=${encodeURIComponent(tab.id)}`);
    for (const name of ["frame", "run", "project", "notice"]) {
      source.addEventListener(name, (event) => handlers[name](event.data ? JSON.parse(event.data) : null));
    }
    source.addEventListener("error", failed);
    source.addEventListener("open", () => {
      if (lost) handlers.found();
      lost = false;
    });
  };
  const failed = (event) => {
    if (event.data) return handlers.error(JSON.parse(event.data).error);
    if (!lost) handlers.lost();
    lost = true;
    // After some failures a browser gives up by itself; the page does not.
    if (source.readyState === EventSource.CLOSED) again = setTimeout(open, RETRY_MS);
    return undefined;
  };
  open();
  return () => {
    clearTimeout(again);
    source.close();
  };
}
