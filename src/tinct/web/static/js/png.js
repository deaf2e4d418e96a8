// Label maps as PNG files, exactly: a canvas would make colours of the ids, and colours are not ids.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const PALETTE = 3;

const CRC_TABLE = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

function crcOf(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(name, content) {
  const bytes = new Uint8Array(12 + content.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, content.length);
  for (let i = 0; i < 4; i++) bytes[4 + i] = name.charCodeAt(i);
  bytes.set(content, 8);
  view.setUint32(8 + content.length, crcOf(bytes.subarray(4, 8 + content.length)));
  return bytes;
}

async function through(stream, bytes) {
  const whole = new Response(new Blob([bytes]).stream().pipeThrough(stream));
  return new Uint8Array(await whole.arrayBuffer());
}

/** An 8-bit grey PNG (a Blob) whose pixels are the ids of `map` {width, height, data: Uint8Array}. */
export async function encodeLabels({ width, height, data }) {
  const rows = new Uint8Array((width + 1) * height);
  for (let y = 0; y < height; y++) {
    rows.set(data.subarray(y * width, (y + 1) * width), y * (width + 1) + 1); // before each row: filter 0, none
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, GREY, 0, 0, 0], 8);
  const packed = await through(new CompressionStream("deflate"), rows);
  const chunks = [chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", new Uint8Array(0))];
  return new Blob([new Uint8Array(SIGNATURE), ...chunks], { type: "image/png" });
}

/** The ids of a grey or palette PNG of 1, 2, 4 or 8 bits (an ArrayBuffer), whatever its palette says. */
export async function decodeLabels(buffer) {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte)) throw new Error("A mask came that is no PNG.");
  let header = null;
  const packed = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (name === "IHDR") header = readHeader(view, at + 8);
    if (name === "IDAT") packed.push(content);
    at += 12 + length;
  }
  const rows = await through(new DecompressionStream("deflate"), new Blob(packed));
  return unpacked(rows, header);
}

function readHeader(view, at) {
  const [width, height] = [view.getUint32(at), view.getUint32(at + 4)];
  const [bits, colour, interlaced] = [view.getUint8(at + 8), view.getUint8(at + 9), view.getUint8(at + 12)];
  if ((colour !== GREY && colour !== PALETTE) || bits > 8 || interlaced) {
    throw new Error(`A mask came as PNG of colour type ${colour} with ${bits} bits; a grey or palette one is needed.`);
  }
  return { width, height, bits };
}

function unpacked(rows, { width, height, bits }) {
  const stride = Math.ceil((width * bits) / 8);
  const data = new Uint8Array(width * height);
  let above = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const start = y * (stride + 1);
    const row = rows.subarray(start + 1, start + 1 + stride);
    unfilter(rows[start], row, above);
    if (bits === 8) data.set(row, y * width);
    else spread(row, data.subarray(y * width, (y + 1) * width), bits);
    above = row;
  }
  return { width, height, data };
}

// PNG specification, section 9.2; one byte per pixel, so the byte to the left is the one before.
function unfilter(kind, row, above) {
  const length = row.length;
  if (kind === 1) for (let x = 1; x < length; x++) row[x] += row[x - 1];
  if (kind === 2) for (let x = 0; x < length; x++) row[x] += above[x];
  if (kind === 3) for (let x = 0; x < length; x++) row[x] += ((x ? row[x - 1] : 0) + above[x]) >> 1;
  if (kind === 4) for (let x = 0; x < length; x++) row[x] += x ? paeth(row[x - 1], above[x], above[x - 1]) : above[0];
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [toLeft, toUp, toCorner] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

function spread(packed, row, bits) {
  const perByte = 8 / bits;
  const mask = (1 << bits) - 1;
  for (let x = 0; x < row.length; x++) {
    row[x] = (packed[Math.floor(x / perByte)] >> (8 - bits * ((x % perByte) + 1))) & mask;
  }
}
