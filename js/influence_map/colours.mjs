// @ts-check
// The colours of an influence map. nodes/influence/heat.py has the same, and tests/nodes/heat_colours.json says which.

const COLOURS = [[0, 0, 0], [0.25, 0.05, 0.5], [0.85, 0.15, 0.3], [1, 0.6, 0.1], [1, 1, 0.85]] // of 0 to 1

/** The colour of a value in 0..1.
 * @param {number} value @returns {number[]} red, green and blue in 0..1 */
export function colourOf(value) {
  const place = value * (COLOURS.length - 1)
  const below = Math.min(Math.floor(place), COLOURS.length - 2)
  return COLOURS[below].map((start, channel) => start + (COLOURS[below + 1][channel] - start) * (place - below))
}

/** Colour the pixels of a grey map, which are shares of the highest influence of its reference.
 * @param {Uint8ClampedArray} pixels RGBA, which are changed
 * @param {number} factor what the value of a share of 1 is
 * @param {boolean} over whether a picture lies behind, and shows where the value is low */
export function colourPixels(pixels, factor, over) {
  const table = Array.from({ length: 256 }, (_, share) => {
    const value = Math.min(1, (share / 255) * factor)
    return [...colourOf(value).map((part) => Math.round(255 * part)), over ? Math.round(255 * value) : 255]
  })
  for (let start = 0; start < pixels.length; start += 4) pixels.set(table[pixels[start]], start)
}

/** What the value of a share of 1 is, for each choice of the input scale.
 * @param {string} scale @param {number} highest influence of the reference @param {number} most of all references */
export function factorOf(scale, highest, most) {
  if (scale === 'share of each maximum') return 1
  return scale === 'as measured' ? highest : most > 0 ? highest / most : 0
}
