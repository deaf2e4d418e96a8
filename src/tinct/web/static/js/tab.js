// The id of this tab. It survives a reload; a duplicated tab, which inherits it, takes another one.

const KEY = "tinct-tab";

function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(9));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, "0")).join("");
}

function storedId() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export const tab = { id: storedId() ?? fresh() };

function keep() {
  try {
    sessionStorage.setItem(KEY, tab.id);
  } catch {
    // A browser that keeps nothing: a reload is another tab then.
  }
}

/** Asks the other tabs whether one of them has this id already; resolved when the id is this tab's alone. */
export async function settleTab() {
  const channel = new BroadcastChannel(KEY);
  let taken = false;
  channel.onmessage = ({ data }) => {
    if (data.id !== tab.id) return;
    if (data.asks) channel.postMessage({ id: tab.id, asks: false });
    else taken = true;
  };
  channel.postMessage({ id: tab.id, asks: true });
  await new Promise((resolve) => setTimeout(resolve, 60));
  if (taken) tab.id = fresh();
  keep();
}
