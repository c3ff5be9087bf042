// @ts-check
// The view on Encode Image Prompt: the whole picture with the squares that the encoder sees, and beside it what it sees.
import { sharpCanvas } from '../lib/canvas.mjs'
import { follow, isLinked, valueOf, write } from '../lib/inputs.mjs'
import { lookRegularly, pictureFiles } from '../lib/outputs.mjs'
import { pictureAt } from '../lib/pictures.mjs'
import { placeOn } from '../lib/pointer.mjs'
import { addView } from '../lib/view.mjs'
import { say } from '../lib/words.mjs'
import { boxText, cropBox } from './crop_box.mjs'
import { drawing } from './drawing.mjs'
import { enlarged, hit, moved, placed, resized, slots } from './editing.mjs'
import { BY_HAND, INPUTS, afterOf, read, sourceOf } from './reading.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('./crop_box.mjs').Edges} Edges */
/** @typedef {import('./editing.mjs').Corner} Corner */
/** @typedef {import('./editing.mjs').Place} Place */
/** @typedef {import('./reading.mjs').After} After */
/** @typedef {import('./reading.mjs').Picture} Picture */
/** @typedef {import('./reading.mjs').Reading} Reading */
/** @typedef {{box: Edges, at: Corner | 'inside', x: number, y: number, place: Place, started: boolean}} Drag */

const SIZE = { height: 210, width: 340 }
const NEAR = 8 // pixels of the screen: how far from a corner it is taken hold of
const STILL = 3 // pixels of the screen that a pointer may move in a click
const STEP = 0.01 // of an arrow key, as a part of the shorter side
const FACTOR = 1.05 // of + and -
/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
/** @type {Record<string, number>} */
const RESIZING = { '+': FACTOR, '=': FACTOR, '-': 1 / FACTOR, _: 1 / FACTOR }

/** What was connected when a run ended, by the name of a file that it left: undo makes new nodes, and views.
 * @type {Map<string, string>} */
const ranWith = new Map()

/** @param {Node} node */
export function viewOf(node) {
  const line = document.createElement('div')
  line.style.cssText = 'font:11px sans-serif;line-height:15px;min-height:15px;padding:1px 4px;text-align:center'
  const { canvas, redraw } = sharpCanvas(draw)
  canvas.style.cssText += ';position:absolute;inset:0'
  const pane = document.createElement('div')
  pane.style.cssText = 'position:relative;flex:1;min-height:0;border-radius:6px;overflow:hidden;background:#16161a;outline:none'
  pane.append(canvas)
  const root = document.createElement('div')
  root.style.cssText = 'display:flex;flex-direction:column;gap:2px;width:100%;height:100%;box-sizing:border-box;color:#b8b8c0'
  root.append(pane, line)
  pane.tabIndex = 0
  pane.setAttribute('aria-label', say('encode.label'))
  pane.title = say('encode.hint')
  pane.dataset.imagePrompt = 'encode'

  const sheetFile = pictureFiles(look)
  const pictureFile = pictureFiles(look)
  /** @type {Reading} */
  let reading = {}
  /** @type {HTMLImageElement | undefined} */
  let sheet
  let known = ''
  /** @type {Drag | undefined} */
  let drag

  addView(node, 'encode_view', root, SIZE)
  follow(node, INPUTS, look)
  lookRegularly(node, look)
  pane.addEventListener('pointerdown', take)
  pane.addEventListener('pointermove', pull)
  pane.addEventListener('pointerup', release)
  pane.addEventListener('pointercancel', release)
  pane.addEventListener('keydown', press)
  pane.addEventListener('focus', frame)
  pane.addEventListener('blur', frame)
  look()

  /** Read the inputs again, and draw if something has changed. */
  function look() {
    const source = sourceOf(node)
    const after = current(source)
    const picture = pictureOf(after)
    sheet = after && sheetFile(after.seen)
    const shown = [after?.seen.filename, Boolean(sheet), picture?.source, ...INPUTS.map((name) => valueOf(node, name))]
    const now = JSON.stringify([source, shown, INPUTS.map((name) => isLinked(node, name))])
    if (now === known) return
    known = now
    reading = read(node, picture, after)
    line.textContent = words(reading, String(after?.asked.crop ?? valueOf(node, 'crop')))
    line.style.color = reading.bad ? 'var(--error-text, #ff6b6b)' : ''
    pane.dataset.shows = sheet ? 'seen' : 'preview'
    frame()
    redraw()
  }

  /** Mark what is wrong, else what has the keyboard. */
  function frame() {
    const color = reading.bad ? 'var(--error-text, #ff6b6b)' : document.activeElement === pane ? '#6aa9ff' : ''
    pane.style.boxShadow = color && `0 0 0 1px ${color}`
  }

  /** @param {string} source @returns {After | undefined} */
  function current(source) {
    const after = afterOf(node)
    if (!after) return undefined
    const before = ranWith.get(after.seen.filename)
    if (before === undefined || (before.endsWith('|') && source.startsWith(before))) {
      ranWith.set(after.seen.filename, source) // or its picture was loaded meanwhile
      return after
    }
    return before === source ? after : undefined
  }

  /** The picture at the input: what its node shows, else what the last run was given.
   * @param {After | undefined} after @returns {Picture | undefined} */
  function pictureOf(after) {
    const shown = pictureAt(node, 'image')
    if (shown) return { image: shown, height: shown.naturalHeight, width: shown.naturalWidth, source: shown.src }
    const image = after && pictureFile(after.picture)
    return image && { image, height: after.height, width: after.width, source: image.src }
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  function draw(context, width, height) {
    drawing(context, { ...reading, sheet, background: String(valueOf(node, 'background')), editable: editable() }, (boxes) =>
      place(width, height, boxes)
    )(width, height)
  }

  /** Where the picture lies. It stays there while a square is dragged.
   * @param {number} width @param {number} height @param {readonly Edges[]} boxes */
  function place(width, height, boxes) {
    if (drag) return drag.place
    return placed(slots(width, height).whole, /** @type {Picture} */ (reading.picture), boxes)
  }

  function editable() {
    return Boolean(reading.picture) && !isLinked(node, 'crop') && !isLinked(node, BY_HAND)
  }

  // ---------------------------------------------------------------------------------------------------------- by hand

  /** The square that an edit starts from: that under the pointer, else the first, else the middle.
   * @param {Picture} picture @param {(box: Edges) => boolean} [under] @returns {Edges} */
  function start(picture, under = () => false) {
    const { height, width } = picture
    const boxes = valueOf(node, 'crop') === 'squash' ? [] : (reading.boxes ?? [])
    return boxes.find(under) ?? boxes[0] ?? /** @type {Edges} */ (cropBox(height, width, 'center'))
  }

  /** @param {Edges} box */
  function keep(box) {
    const { height, width } = /** @type {Picture} */ (reading.picture)
    write(node, BY_HAND, boxText(height, width, box))
    write(node, 'crop', BY_HAND)
  }

  /** Where a pointer is, in pixels of the picture, and how many of these are one of the screen.
   * @param {PointerEvent} event @param {Place} at */
  function pointed(event, at) {
    const on = placeOn(canvas, event)
    const screen = canvas.getBoundingClientRect().width / canvas.clientWidth
    return {
      x: (on.x * canvas.clientWidth - at.x) / at.scale,
      y: (on.y * canvas.clientHeight - at.y) / at.scale,
      pixel: 1 / (at.scale * screen)
    }
  }

  /** What of which square is under a pointer.
   * @param {PointerEvent} event */
  function under(event) {
    const { picture } = reading
    if (!picture || !editable()) return undefined
    const at = place(canvas.clientWidth, canvas.clientHeight, reading.boxes ?? [])
    const { x, y, pixel } = pointed(event, at)
    const box = start(picture, (each) => hit(each, x, y, 0) !== undefined)
    const part = hit(box, x, y, NEAR * pixel)
    return part && { box, at: part, x, y, place: at, started: false }
  }

  /** @param {PointerEvent} event */
  function take(event) {
    event.stopPropagation()
    if (event.button !== 0) return
    pane.focus({ preventScroll: true })
    drag = under(event)
    if (drag) pane.setPointerCapture(event.pointerId)
  }

  /** @param {PointerEvent} event */
  function pull(event) {
    event.stopPropagation()
    const picture = reading.picture
    if (!drag || !picture) {
      pane.style.cursor = cursor(under(event)?.at)
      return
    }
    const { x, y, pixel } = pointed(event, drag.place)
    drag.started ||= Math.hypot(x - drag.x, y - drag.y) > STILL * pixel
    if (!drag.started) return
    const { box, at } = drag
    const near = event.altKey ? 0 : NEAR * pixel
    keep(at === 'inside' ? moved(box, x - drag.x, y - drag.y, picture, near) : resized(box, at, x, y, picture, near))
  }

  /** @param {PointerEvent} event */
  function release(event) {
    event.stopPropagation()
    drag = undefined
    redraw()
  }

  /** @param {KeyboardEvent} event */
  function press(event) {
    const { picture } = reading
    const arrow = ARROWS[event.key]
    const factor = RESIZING[event.key]
    if (!picture || !editable() || !(arrow || factor) || event.ctrlKey || event.metaKey) return
    event.stopPropagation()
    event.preventDefault()
    const box = start(picture)
    if (factor) return keep(enlarged(box, factor, picture))
    const step = Math.max(1, STEP * (event.shiftKey ? 10 : 1) * Math.min(picture.height, picture.width))
    keep(moved(box, arrow[0] * step, arrow[1] * step, picture))
  }
}

/** @param {Corner | 'inside' | undefined} part */
function cursor(part) {
  if (!part) return ''
  return part === 'inside' ? 'move' : part.x === part.y ? 'nwse-resize' : 'nesw-resize'
}

/** What is said below the picture.
 * @param {Reading} reading @param {string} crop */
function words({ picture, boxes, problem }, crop) {
  if (problem) return say(`encode.${problem}`)
  if (!picture || !boxes?.length) return ''
  const { height, width } = picture
  const side = boxes[0].bottom - boxes[0].top
  const key = crop === 'squash' ? 'whole' : crop === 'pad' ? 'around' : boxes.length > 1 ? 'squares' : 'square'
  return say(`encode.${key}`, { height, width, side, count: boxes.length })
}
