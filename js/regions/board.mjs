// @ts-check
// The canvas on which regions are drawn, moved and reshaped, by pointer and by keyboard.
import { sharpCanvas } from '../lib/canvas.mjs'
import { placeOn } from '../lib/pointer.mjs'
import { frameOf, painter } from './drawing.mjs'
import { clamped, handles, isInside, moved, nearest, rectangle, reshaped } from './geometry.mjs'
import { rounded } from './text.mjs'

/** @typedef {import('./text.mjs').Shape} Shape */
/** @typedef {import('./text.mjs').Point} Point */

/** What the board shows and changes. Shapes are called by their lines; 0 is none.
 * @typedef {object} Sheet
 * @property {() => number} ratio width of the picture by its height
 * @property {() => Shape[]} shapes
 * @property {() => number} chosen
 * @property {(line: number) => void} choose a shape, and its reference
 * @property {(shape: Shape) => boolean} isActive whether it is of the reference for which one draws
 * @property {() => 'rect' | 'polygon'} tool
 * @property {() => boolean} cuts whether what is drawn is a hole
 * @property {(kind: 'rect' | 'polygon', points: Point[]) => number} add a shape; its line
 * @property {(line: number, points: Point[]) => void} reshape
 * @property {(line: number) => void} remove
 * @property {() => string} text
 * @property {(text: string) => void} restore
 * @property {() => void} drawn a shape was finished
 * @property {() => Omit<import('./drawing.mjs').Scene, 'pending' | 'pointer'>} scene
 */
/** @typedef {{text: string, from: Point, at: [number, number], act: (place: Point) => void, click: () => void,
 *   moves: boolean}} Drag */

const NEAR = 9 // pixels around a handle that hold it
const STILL = 4 // pixels that a click may move
const STEP = 0.01
const FAR = 0.05
/** @type {Record<string, Point>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
const NEW = rectangle([0.3, 0.3], [0.7, 0.7])

/** @param {Sheet} sheet */
export function board(sheet) {
  const paint = painter()
  /** @type {Drag | undefined} */
  let drag
  /** @type {Point[]} */
  let pending = []
  /** @type {Point | undefined} */
  let pointer
  const { canvas, redraw } = sharpCanvas((context, width, height) =>
    paint(context, frameOf(width, height, sheet.ratio()), { ...sheet.scene(), pending, pointer })
  )
  canvas.tabIndex = 0

  const frame = () => frameOf(canvas.clientWidth, canvas.clientHeight, sheet.ratio())

  /** @param {PointerEvent} event @returns {Point} */
  function placeOf(event) {
    const { x, y } = placeOn(canvas, event)
    const { x: left, y: top, width, height } = frame()
    return [(x * canvas.clientWidth - left) / width, (y * canvas.clientHeight - top) / height]
  }

  /** @param {Point} place @param {readonly Point[]} points */
  function near(place, points) {
    const { width, height } = frame()
    return nearest(points, place, [NEAR / width, NEAR / height])
  }

  /** The shapes at a place, the upper ones first.
   * @param {Point} place */
  const at = (place) => sheet.shapes().filter(({ points }) => isInside(points, place)).reverse()
  const chosen = () => sheet.shapes().find(({ line }) => line === sheet.chosen())

  /** What a drag from a place does.
   * @param {Point} place @param {boolean} draws whether it draws over shapes
   * @returns {(place: Point) => void} */
  function action(place, draws) {
    const held = chosen()
    const handle = held && !draws ? near(place, handles(held)) : -1
    if (held && handle >= 0) return (to) => sheet.reshape(held.line, reshaped(held, handle, to))
    const under = at(place)
    const own = under.find(({ line }) => line === sheet.chosen()) ?? under.find((shape) => sheet.isActive(shape))
    if (own && !draws)
      return (to) => {
        sheet.choose(own.line)
        sheet.reshape(own.line, moved(own.points, to[0] - place[0], to[1] - place[1]))
      }
    let line = 0
    return (to) => {
      const points = rectangle(place, to)
      if (line) sheet.reshape(line, points)
      else line = sheet.add('rect', points)
      sheet.choose(line)
    }
  }

  /** Choose what is at a place; what is below, if the upper one is chosen already.
   * @param {Point} place */
  function click(place) {
    const under = at(place)
    const next = under.findIndex(({ line }) => line === sheet.chosen()) + 1
    sheet.choose((under[next] ?? under[0])?.line ?? 0)
  }

  /** Put a point of a polygon: one on the first or the last point closes it.
   * @param {Point} place */
  function point(place) {
    if (pending.length && near(place, [pending[0], pending[pending.length - 1]]) >= 0) close()
    else pending.push([rounded(clamped(place[0])), rounded(clamped(place[1]))])
  }

  function close() {
    if (pending.length < 3) return
    const points = pending
    pending = []
    sheet.choose(sheet.add('polygon', points))
    sheet.drawn()
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return
    event.stopPropagation()
    canvas.focus({ preventScroll: true })
    canvas.setPointerCapture(event.pointerId)
    const from = placeOf(event)
    const draws = event.shiftKey || sheet.cuts()
    if (sheet.tool() === 'polygon') point(from)
    else
      drag = {
        text: sheet.text(),
        from,
        at: [event.clientX, event.clientY],
        act: action(from, draws),
        click: () => click(from),
        moves: false
      }
    redraw()
  })

  canvas.addEventListener('pointermove', (event) => {
    pointer = placeOf(event)
    if (drag) {
      drag.moves ||= Math.hypot(event.clientX - drag.at[0], event.clientY - drag.at[1]) >= STILL
      if (drag.moves) drag.act(pointer)
    } else canvas.style.cursor = cursor(pointer, event.shiftKey || sheet.cuts())
    if (drag || pending.length) redraw()
  })

  /** @param {Point} place @param {boolean} draws */
  function cursor(place, draws) {
    if (draws || sheet.tool() === 'polygon') return 'crosshair'
    const held = chosen()
    if (held && near(place, handles(held)) >= 0) return 'nwse-resize'
    return at(place).some((shape) => shape.line === sheet.chosen() || sheet.isActive(shape)) ? 'move' : 'crosshair'
  }

  canvas.addEventListener('pointerup', () => {
    const ended = drag
    drag = undefined
    if (!ended) return
    if (!ended.moves) ended.click()
    else sheet.drawn()
    redraw()
  })

  canvas.addEventListener('pointercancel', giveUp)
  canvas.addEventListener('pointerleave', () => {
    pointer = undefined
    if (pending.length) redraw()
  })

  function giveUp() {
    if (drag?.moves) sheet.restore(drag.text)
    else if (!pending.length) sheet.choose(0)
    drag = undefined
    pending = []
    sheet.drawn()
    redraw()
  }

  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || !pressed(event)) return
    event.preventDefault()
    event.stopPropagation() // the graph would move or delete the node
    redraw()
  })

  /** Whether a key means something here.
   * @param {KeyboardEvent} event */
  function pressed({ key, shiftKey, altKey }) {
    if (key in ARROWS) push(ARROWS[key], shiftKey ? FAR : STEP, altKey)
    else if (key === 'Delete' || key === 'Backspace') sheet.remove(sheet.chosen())
    else if (key === 'Escape') giveUp()
    else if (key === 'Enter') close()
    else if (key === ' ') next()
    else if (key === 'n' || key === 'N') sheet.choose(sheet.add('rect', NEW))
    else return false
    return true
  }

  /** @param {Point} way @param {number} far @param {boolean} grows */
  function push([across, down], far, grows) {
    const held = chosen()
    if (!held) return
    const [x, y] = held.points[2]
    if (!grows) sheet.reshape(held.line, moved(held.points, across * far, down * far))
    else if (held.kind === 'rect') sheet.reshape(held.line, reshaped(held, 2, [x + across * far, y + down * far]))
  }

  function next() {
    const lines = sheet.shapes().map(({ line }) => line)
    sheet.choose(lines[(lines.indexOf(sheet.chosen()) + 1) % lines.length] ?? 0)
  }

  return { canvas, redraw, giveUp }
}
