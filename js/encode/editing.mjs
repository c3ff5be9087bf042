// @ts-check
// How a square is moved and resized by hand, and where a picture with its squares lies on a canvas. Lengths are pixels of
// the picture, but for those of a slot, which are pixels of the canvas.
import { LARGEST, square } from './crop_box.mjs'

/** @typedef {import('./crop_box.mjs').Edges} Edges */
/** @typedef {{height: number, width: number}} Size */
/** @typedef {{x: number, y: number, width: number, height: number}} Slot */
/** @typedef {{x: number, y: number, scale: number}} Place of the picture: of its corner, and how much it is enlarged */
/** @typedef {{x: -1 | 1, y: -1 | 1}} Corner */

const EDGE = 8 // around the slots
const SHARE = 0.36 // of the width, for what the encoder sees
const SMALLEST = 1 / 50 // side of a square, as a part of the shorter side
/** @type {readonly Corner[]} */
export const CORNERS = [{ x: -1, y: -1 }, { x: 1, y: -1 }, { x: -1, y: 1 }, { x: 1, y: 1 }]

/** Where the whole picture lies on a canvas, and where what the encoder sees.
 * @param {number} width @param {number} height @returns {{whole: Slot, seen: Slot}} */
export function slots(width, height) {
  const high = height - 2 * EDGE
  const side = Math.min(high, width * SHARE)
  return {
    whole: { x: EDGE, y: EDGE, width: width - side - 3 * EDGE, height: high },
    seen: { x: width - side - EDGE, y: EDGE, width: side, height: high }
  }
}

/** Where a picture lies, so that all of it and of the squares is in a slot.
 * @param {Slot} slot @param {Size} size @param {readonly Edges[]} boxes @returns {Place} */
export function placed(slot, size, boxes) {
  const top = Math.min(0, ...boxes.map((box) => box.top))
  const left = Math.min(0, ...boxes.map((box) => box.left))
  const height = Math.max(size.height, ...boxes.map((box) => box.bottom)) - top
  const width = Math.max(size.width, ...boxes.map((box) => box.right)) - left
  const scale = Math.min(slot.width / width, slot.height / height)
  return {
    x: slot.x + (slot.width - width * scale) / 2 - left * scale,
    y: slot.y + (slot.height - height * scale) / 2 - top * scale,
    scale
  }
}

/** A square that was moved. It lies at an edge of the picture if it comes near.
 * @param {Edges} box @param {number} right @param {number} down @param {Size} size @param {number} [near] */
export function moved(box, right, down, size, near = 0) {
  const side = box.bottom - box.top
  const left = attracted(box.left + right, [0, size.width - side], near)
  const top = attracted(box.top + down, [0, size.height - side], near)
  return held(square(top, left, side), size)
}

/** A square one of whose corners was drawn to a place, while the opposite one stays. It ends at an edge of the picture if
 * it comes near.
 * @param {Edges} box @param {Corner} corner @param {number} x @param {number} y @param {Size} size @param {number} [near] */
export function resized(box, corner, x, y, size, near = 0) {
  const fixed = { x: corner.x > 0 ? box.left : box.right, y: corner.y > 0 ? box.top : box.bottom }
  const wide = corner.x * (attracted(x, [0, size.width], near) - fixed.x)
  const high = corner.y * (attracted(y, [0, size.height], near) - fixed.y)
  const side = allowed(Math.max(wide, high), size)
  return held(square(corner.y > 0 ? fixed.y : fixed.y - side, corner.x > 0 ? fixed.x : fixed.x - side, side), size)
}

/** A square that was enlarged about its middle.
 * @param {Edges} box @param {number} factor @param {Size} size */
export function enlarged(box, factor, size) {
  const side = allowed((box.bottom - box.top) * factor, size)
  const middle = { x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 }
  return held(square(middle.y - side / 2, middle.x - side / 2, side), size)
}

/** The corner of a square at which a pointer is, else whether it is inside.
 * @param {Edges} box @param {number} x @param {number} y @param {number} near @returns {Corner | 'inside' | undefined} */
export function hit(box, x, y, near) {
  const at = (/** @type {Corner} */ corner) => ({
    x: corner.x < 0 ? box.left : box.right,
    y: corner.y < 0 ? box.top : box.bottom
  })
  const corner = CORNERS.find((each) => Math.abs(at(each).x - x) <= near && Math.abs(at(each).y - y) <= near)
  if (corner) return corner
  return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom ? 'inside' : undefined
}

/** The squares of a sheet: `count` of them in lines of `columns`, as large as a slot allows.
 * @param {Slot} slot @param {number} count @param {number} columns @returns {Slot[]} */
export function cells(slot, count, columns) {
  const lines = Math.ceil(count / columns)
  const side = Math.min(slot.width / columns, slot.height / lines)
  const x = slot.x + (slot.width - side * columns) / 2
  const y = slot.y + (slot.height - side * lines) / 2
  return Array.from({ length: count }, (_, number) => ({
    x: x + (number % columns) * side,
    y: y + Math.floor(number / columns) * side,
    width: side,
    height: side
  }))
}

/** The square, moved as far as needed for its middle to lie in the picture.
 * @param {Edges} box @param {Size} size */
function held(box, size) {
  const side = box.bottom - box.top
  const within = (/** @type {number} */ start, /** @type {number} */ length) =>
    Math.min(Math.max(start, -side / 2), length - side / 2)
  return square(within(box.top, size.height), within(box.left, size.width), side)
}

/** @param {number} place @param {readonly number[]} marks @param {number} near */
function attracted(place, marks, near) {
  return marks.find((mark) => Math.abs(mark - place) <= near) ?? place
}

/** @param {number} side @param {Size} size */
function allowed(side, size) {
  const short = Math.min(size.height, size.width)
  return Math.min(Math.max(side, short * SMALLEST), short * LARGEST)
}
