// Before the first paint, so that a dark page never flashes light. Not a module: modules wait.
(() => {
  let wanted = "auto";
  try {
    wanted = localStorage.getItem("tinct-theme") || "auto";
  } catch {
    // A browser that keeps nothing: the system's colours then.
  }
  const root = document.documentElement;
  root.dataset.theme = wanted;
  root.dataset.shown =
    wanted === "auto" ? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark") : wanted;
})();
