// FEELVOS's step in the browser, as model.json describes it. No page here: only arrays in and out.

export async function load(ort, folder) {
  const { numbers } = await (await fetch(`${folder}/model.json`)).json();
  const open = (name) => ort.InferenceSession.create(`${folder}/${name}.onnx`, { executionProviders: ["wasm"] });
  return { ort, numbers, encode: await open("encode"), step: await open("step") };
}

export function workingSize(height, width, numbers) {
  const factor = Math.min(2, numbers.working_height / Math.min(height, width));
  return [height, width].map((side) => Math.max(8, Math.round((side * factor) / 8) * 8));
}

// Pixels [h · w, K] of planes [K, h · w]; every n-th, each value times a factor.
function byPixels(planes, count, every = 1, factor = 1) {
  const cells = planes.length / count;
  const kept = Math.ceil(cells / every);
  const rows = new Float32Array(kept * count);
  for (let row = 0; row < kept; row++)
    for (let k = 0; k < count; k++) rows[row * count + k] = planes[k * cells + row * every] * factor;
  return rows;
}

function shareOfCells(labels, count, [height, width]) {
  const columns = width / 8;
  const shares = new Float32Array((count * height * width) / 64);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const cell = (y >> 3) * columns + (x >> 3);
      shares[(labels[y * width + x] * height * columns) / 8 + cell] += 1 / 64;
    }
  return shares;
}

export class Video {
  // labels: a number per pixel of the working size, 0 the background, 1 .. count - 1 the objects.
  static async start(model, rgb, labels, count, size) {
    const video = new Video();
    Object.assign(video, { model, count, size, index: 0, memory: [] });
    const { embedding } = await model.encode.run({ frame: video.frame(rgb) });
    const [, channels, h, w] = embedding.dims;
    const probs = shareOfCells(labels, count, size);
    video.channels = channels;
    video.prompt = [byPixels(embedding.data, channels), byPixels(probs, count)];
    video.previous = [embedding, new model.ort.Tensor("float32", probs, [count, h, w])];
    return video;
  }

  frame(rgb) {
    return new this.model.ort.Tensor("uint8", rgb, [...this.size, 3]);
  }

  // The logits of the next frame: { data, dims: [count, h4, w4] }.
  async next(rgb) {
    const { numbers, ort } = this.model;
    this.index += 1;
    const joined = (part, width) => {
      const parts = [this.prompt, ...this.memory].map((pair) => pair[part]);
      const values = new Float32Array(parts.reduce((sum, each) => sum + each.length, 0));
      let at = 0;
      for (const each of parts) { values.set(each, at); at += each.length; }
      return new ort.Tensor("float32", values, [values.length / width, width]);
    };
    const out = await this.model.step.run({
      frame: this.frame(rgb),
      reference_embedding: joined(0, this.channels),
      reference_membership: joined(1, this.count),
      previous_embedding: this.previous[0],
      previous_probs: this.previous[1],
    });
    this.previous = [out.next_embedding, out.next_probs];
    if (this.index % numbers.memory_every === 0) {
      const thinned = numbers.memory_thinning;
      this.memory.push([
        byPixels(out.next_embedding.data, this.channels, thinned),
        byPixels(out.next_probs.data, this.count, thinned, numbers.memory_weight * thinned),
      ]);
      this.memory = this.memory.slice(-numbers.memory_frames);
    }
    return out.logits;
  }
}

// The label of each pixel at stride 4: the largest logit's.
export function labelsOf({ data, dims: [count, h, w] }) {
  const labels = new Uint8Array(h * w);
  for (let cell = 0; cell < h * w; cell++) {
    let best = 0;
    for (let k = 1; k < count; k++) if (data[k * h * w + cell] > data[best * h * w + cell]) best = k;
    labels[cell] = best;
  }
  return labels;
}
