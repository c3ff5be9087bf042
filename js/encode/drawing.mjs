// @ts-check
// Draws the whole picture with the squares that the encoder sees, and beside it what it sees.
import { say } from '../lib/words.mjs'
import { CORNERS, cells, slots } from './editing.mjs'

/** @typedef {import('./crop_box.mjs').Edges} Edges */
/** @typedef {import('./editing.mjs').Place} Place */
/** @typedef {import('./editing.mjs').Slot} Slot */
/** @typedef {import('./reading.mjs').After} After */
/** @typedef {import('./reading.mjs').Picture} Picture */
/** @typedef {import('./reading.mjs').Reading & {sheet?: HTMLImageElement, background: string, editable: boolean}} Shown */

/** @type {Record<string, string>} */
const BACKGROUNDS = { black: '#000', grey: '#808080', white: '#fff' }
const DIM = 'rgba(16, 16, 20, 0.68)'
const HANDLE = 7
const MOST = 16 // squares beside the picture

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Shown} shown
 * @param {(boxes: readonly Edges[]) => Place} place where the picture lies
 * @returns {(width: number, height: number) => void}
 */
export function drawing(context, shown, place) {
  const { picture, boxes = [], after, sheet, editable } = shown
  const color = BACKGROUNDS[shown.background] ?? BACKGROUNDS.black

  return (width, height) => {
    const { seen } = slots(width, height)
    context.imageSmoothingQuality = 'high'
    if (picture) drawWhole(picture, place(boxes))
    if (after && sheet) drawSheet(after, sheet, seen)
    else if (picture && boxes.length) drawPreview(picture, seen)
  }

  /** @param {Picture} picture @param {Place} at */
  function drawWhole(picture, at) {
    const drawn = [at.x, at.y, picture.width * at.scale, picture.height * at.scale]
    context.drawImage(picture.image, drawn[0], drawn[1], drawn[2], drawn[3])
    if (!boxes.length) return
    context.fillStyle = DIM
    context.fillRect(drawn[0], drawn[1], drawn[2], drawn[3])
    const parts = boxes.map((box) => slotOf(box, at))
    context.save()
    context.beginPath()
    for (const { x, y, width, height } of parts) context.rect(x, y, width, height)
    context.clip()
    context.fillStyle = color
    for (const { x, y, width, height } of parts) context.fillRect(x, y, width, height)
    context.drawImage(picture.image, drawn[0], drawn[1], drawn[2], drawn[3])
    context.restore()
    for (const part of parts) outline(part, parts.length === 1)
  }

  /** @param {Slot} slot @param {boolean} alone */
  function outline({ x, y, width, height }, alone) {
    context.lineWidth = alone ? 3 : 2
    context.strokeStyle = 'rgba(0, 0, 0, 0.55)'
    context.strokeRect(x, y, width, height)
    context.lineWidth = alone ? 1.5 : 1
    context.strokeStyle = '#fff'
    context.strokeRect(x, y, width, height)
    if (!alone || !editable) return
    for (const corner of CORNERS) {
      const left = x + (corner.x > 0 ? width : 0) - HANDLE / 2
      const top = y + (corner.y > 0 ? height : 0) - HANDLE / 2
      context.fillStyle = '#fff'
      context.fillRect(left, top, HANDLE, HANDLE)
      context.lineWidth = 1
      context.strokeStyle = 'rgba(0, 0, 0, 0.7)'
      context.strokeRect(left, top, HANDLE, HANDLE)
    }
  }

  /** What the encoder will see, as far as a browser knows.
   * @param {Picture} picture @param {Slot} slot */
  function drawPreview(picture, slot) {
    const some = boxes.slice(0, MOST)
    const places = cells(slot, some.length, columnsOf(some.length))
    for (const [number, place] of places.entries()) {
      const box = some[number]
      const wide = place.width / (box.right - box.left)
      const high = place.height / (box.bottom - box.top)
      context.save()
      context.beginPath()
      context.rect(place.x, place.y, place.width, place.height)
      context.clip()
      context.fillStyle = color
      context.fill()
      const [x, y] = [place.x - box.left * wide, place.y - box.top * high]
      context.drawImage(picture.image, x, y, picture.width * wide, picture.height * high)
      context.restore()
    }
    separate(places)
    label(say('encode.preview'), slot, places, false)
  }

  /** What the encoder saw.
   * @param {After} after @param {HTMLImageElement} sheet @param {Slot} slot */
  function drawSheet(after, sheet, slot) {
    const { columns, count, side } = after
    const places = cells(slot, after.shown, columnsOf(after.shown))
    const of = sheet.naturalWidth / columns
    for (const [number, { x, y, width, height }] of places.entries()) {
      const [left, top] = [(number % columns) * of, Math.floor(number / columns) * of]
      context.drawImage(sheet, left, top, of, of, x, y, width, height)
    }
    separate(places)
    label(say(after.shown < count ? 'encode.seen_some' : 'encode.seen', { shown: after.shown, count, side }), slot, places, true)
  }

  /** How many squares stand side by side: tiles as they do in the picture.
   * @param {number} count */
  function columnsOf(count) {
    const columns = new Set(boxes.map((box) => box.left)).size
    return boxes.length > 1 && boxes.length === count ? columns : Math.ceil(count ** 0.5)
  }

  /** @param {readonly Slot[]} places */
  function separate(places) {
    if (places.length < 2) return
    context.lineWidth = 3
    context.strokeStyle = '#16161a'
    for (const { x, y, width, height } of places) context.strokeRect(x, y, width, height)
  }

  /** @param {string} text @param {Slot} slot @param {readonly Slot[]} places @param {boolean} isTrue */
  function label(text, slot, places, isTrue) {
    const bottom = Math.max(...places.map((place) => place.y + place.height))
    context.font = '10px sans-serif'
    context.textAlign = 'center'
    const width = Math.min(slot.width, context.measureText(text).width + 10)
    const x = slot.x + slot.width / 2
    context.fillStyle = isTrue ? 'rgba(28, 92, 52, 0.9)' : 'rgba(16, 16, 20, 0.8)'
    context.beginPath()
    context.roundRect(x - width / 2, bottom - 17, width, 14, 4)
    context.fill()
    context.fillStyle = '#fff'
    context.fillText(text, x, bottom - 6.5, slot.width)
  }
}

/** @param {Edges} box @param {Place} at @returns {Slot} */
function slotOf({ top, left, bottom, right }, at) {
  return {
    x: at.x + left * at.scale,
    y: at.y + top * at.scale,
    width: (right - left) * at.scale,
    height: (bottom - top) * at.scale
  }
}
