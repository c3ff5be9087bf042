// @ts-check
// Masks with soft edges, as `feathered` in nodes/controls/mask_shapes.py makes them.

/** A mask, row by row, with soft edges.
 * @param {Float32Array} mask @param {number} width @param {number} height
 * @param {number} radius how far an edge reaches, as a part of the shorter side */
export function feathered(mask, width, height, radius) {
  if (radius <= 0) return mask
  const bell = weights(radius * Math.min(width, height))
  return averaged(averaged(mask, width, height, 1, width, bell), height, width, width, 1, bell)
}

/** How much pixels count by their distance: a raised cosine.
 * @param {number} radius in pixels */
function weights(radius) {
  const reach = Math.ceil(radius)
  return Float32Array.from({ length: reach }, (_, far) => 1 + Math.cos((Math.PI * far) / radius))
}

/** Average along lines of pixels. What is outside does not count, so that the borders are no edges.
 * @param {Float32Array} mask @param {number} length of a line @param {number} lines
 * @param {number} step from a pixel of a line to the next @param {number} next from a line to the next
 * @param {Float32Array} bell */
function averaged(mask, length, lines, step, next, bell) {
  const found = new Float32Array(mask.length)
  for (let place = 0; place < length; place++) {
    const first = Math.max(0, place - bell.length + 1)
    const last = Math.min(length - 1, place + bell.length - 1)
    let total = 0
    for (let at = first; at <= last; at++) total += bell[Math.abs(at - place)]
    for (let line = 0; line < lines; line++) {
      let sum = 0
      for (let at = first; at <= last; at++) sum += bell[Math.abs(at - place)] * mask[line * next + at * step]
      found[line * next + place * step] = sum / total
    }
  }
  return found
}
