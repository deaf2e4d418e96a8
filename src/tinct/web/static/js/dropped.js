// What is dropped on the page: files, and the files of folders.

const FIRST = /^\./; // hidden files, such as those that file managers leave

function childrenOf(folder) {
  const reader = folder.createReader();
  const found = [];
  return new Promise((resolve, reject) => {
    const more = () =>
      reader.readEntries((entries) => {
        if (!entries.length) return resolve(found); // it gives a hundred at a time
        found.push(...entries);
        return more();
      }, reject);
    more();
  });
}

async function filesBelow(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const children = await childrenOf(entry);
  const files = await Promise.all(children.filter(({ isFile, name }) => isFile && !FIRST.test(name)).map(filesBelow));
  return files.flat().sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}

/** The files of a drop event, those directly in dropped folders among them. */
export async function filesOf({ dataTransfer }) {
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = [...dataTransfer.files]; // read now: after a pause the event is empty
  return entries.length ? (await Promise.all(entries.map(filesBelow))).flat() : files;
}
