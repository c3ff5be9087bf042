// @ts-check
// Which part of a picture an encoder reads. clip_vision/pictures/boxes.py and tiling.py hold the same functions, and
// tests/clip_vision/boxes.json what both have to give.

/** A part of a picture, in pixels, which may reach beyond its edges.
 * @typedef {{top: number, left: number, bottom: number, right: number}} Edges */

/** A square that is placed by hand: where it begins, as parts of the width and of the height of the picture, and how
 * long it is, as a part of the shorter side.
 * @typedef {{left: number, top: number, side: number}} Square */

export const LARGEST = 4 // side of a square that is placed by hand
const MOST_TILES = 64
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i
const DECIMALS = 4 // so that a pixel of a picture of 5000 is exact

/** @type {Record<string, (height: number, width: number) => Edges>} */
export const BOXES = {
  center: inside(0.5, 0.5),
  top: inside(0, 0.5),
  bottom: inside(1, 0.5),
  left: inside(0.5, 0),
  right: inside(0.5, 1),
  pad: around,
  squash: (height, width) => ({ top: 0, left: 0, bottom: height, right: width })
}

/** What a crop takes of a picture; undefined if it is no crop, or a square that shows nothing of the picture.
 * @param {number} height @param {number} width @param {string | Square} crop @returns {Edges | undefined} */
export function cropBox(height, width, crop) {
  if (typeof crop === 'string') return BOXES[crop]?.(height, width)
  const side = Math.max(1, nearest(crop.side * Math.min(height, width)))
  const box = square(nearest(crop.top * height), nearest(crop.left * width), side)
  return box.bottom > 0 && box.right > 0 && box.top < height && box.left < width ? box : undefined
}

/** The squares of a grid that covers a picture, row by row; undefined if there are too many.
 * @param {number} height @param {number} width @param {number} along the short side @returns {Edges[] | undefined} */
export function tileBoxes(height, width, along) {
  const side = Math.ceil(Math.min(height, width) / along)
  const tops = starts(height, side)
  const lefts = starts(width, side)
  if (tops.length * lefts.length > MOST_TILES) return undefined
  return tops.flatMap((top) => lefts.map((left) => square(top, left, side)))
}

/** The numbers in a text, such as '0.25, 0.1, 0.5'; null if it is blank, and undefined if it is another text.
 * @param {string} text @returns {Square | null | undefined} */
export function readBox(text) {
  const words = text.split(/[\s,]+/).filter(Boolean)
  if (!words.length) return null
  if (words.length !== 3 || !words.every((word) => NUMBER.test(word))) return undefined
  const [left, top, side] = words.map(Number)
  const fits = [left, top, side].every(Number.isFinite) && side > 0 && side <= LARGEST
  return fits && left > -side && left < 1 && top > -side && top < 1 ? { left, top, side } : undefined
}

/** A square in a picture as a text.
 * @param {number} height @param {number} width @param {Edges} box @returns {string} */
export function boxText(height, width, { top, left, bottom }) {
  const parts = [left / width, top / height, (bottom - top) / Math.min(height, width)]
  return parts.map((part) => String(Number(part.toFixed(DECIMALS)) || 0)).join(', ')
}

/** @param {number} top @param {number} left @param {number} side @returns {Edges} */
export function square(top, left, side) {
  return { top, left, bottom: top + side, right: left + side }
}

/** The largest square in a picture.
 * @param {number} down @param {number} right from 0 to 1: where in what is left over */
function inside(down, right) {
  return (/** @type {number} */ height, /** @type {number} */ width) => {
    const side = Math.min(height, width)
    return square(Math.trunc(down * (height - side)), Math.trunc(right * (width - side)), side)
  }
}

/** The smallest square that holds all of a picture, in its middle.
 * @param {number} height @param {number} width */
function around(height, width) {
  const side = Math.max(height, width)
  return square(0 - Math.floor((side - height) / 2), 0 - Math.floor((side - width) / 2), side)
}

/** Where the fewest squares that cover a length begin.
 * @param {number} length @param {number} side */
function starts(length, side) {
  const count = Math.ceil(length / side)
  return Array.from({ length: count }, (_, number) => Math.floor((number * (length - side)) / Math.max(1, count - 1)))
}

/** The nearest whole number, and of two the greater.
 * @param {number} number */
function nearest(number) {
  return Math.floor(number + 0.5)
}
