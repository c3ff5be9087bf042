// @ts-check
// The curve of Step Weights, edited by its points. The ends of a curve are the inputs `first`, `last`, `curve_start` and
// `curve_end`; keyframes are written into the input of this name.
import { keepAside } from '../lib/aside.mjs'
import { sharpCanvas } from '../lib/canvas.mjs'
import { follow, isLinked, valueOf, write } from '../lib/inputs.mjs'
import { placeOn } from '../lib/pointer.mjs'
import { choices, frame, heightOf, inkOf, offer, rangeOf, weightAt } from '../lib/plot.mjs'
import { addView } from '../lib/view.mjs'
import { isProblem, written } from '../lib/weight_text.mjs'
import { say } from '../lib/words.mjs'
import { CURVES, at, textOf } from './curves.mjs'
import { boxOf, drawCurves, progressAt, xOf } from './draw.mjs'
import { CONSTANT, KEYFRAMES, added, inputsOf, moved, removed, shown } from './shown.mjs'

/** @typedef {import('../../devtools/types/comfy').Node} Node */
/** @typedef {import('./curves.mjs').Course} Course */
/** @typedef {import('./shown.mjs').Inputs} Inputs */

const HEIGHT = 160
const WIDTH = 340
const NEAR = 10 // pixels from a point that still mean it
const OUT = 24 // pixels outside the drawing where a keyframe is let go of
const DOUBLE_MS = 400
const ROUND = 0.05 // weights that are drawn are round
const FINE = 0.01
const INPUTS = ['curve', 'first', 'last', 'curve_start', 'curve_end', 'keyframes']
const ARROWS = /** @type {Record<string, [progress: number, factor: number]>} */ ({
  ArrowLeft: [-FINE, 0],
  ArrowRight: [FINE, 0],
  ArrowUp: [0, FINE],
  ArrowDown: [0, -FINE]
})

/** @param {Node} node */
export function addCurve(node) {
  const { canvas, redraw } = sharpCanvas(draw)
  const pictures = choices(say('step_weights.picture'), (value) => {
    picture = Number(value)
    point = undefined
    redraw()
  })
  const leads = choices(say('step_weights.curve'), (curve) => {
    const courses = now()
    if (isProblem(courses) || point === undefined || isFixed()) return
    change(courses[picture].map((each, number) => (number === point ? { ...each, curve } : each)))
    finish()
  })
  const view = frame(canvas, [pictures, leads], say('step_weights.tip'), HEIGHT)

  let picture = 0
  /** The chosen point. @type {number | undefined} */
  let point
  /** The point of sampling that is pointed at. @type {number | undefined} */
  let pointed
  /** The courses while a person edits; they are written at most once a frame. @type {Course[] | undefined} */
  let held
  let unwritten = false
  let writing = false
  /** @type {{range: import('../lib/plot.mjs').Range, before: Course} | undefined} */
  let dragging
  let pressed = { x: 0, y: 0, at: 0 }
  let lastCurve = String(inputs().curve)

  // ------------------------------------------------------------------------------------------------------- what is shown

  function inputs() {
    return /** @type {Inputs} */ (Object.fromEntries(INPUTS.map((name) => [name, valueOf(node, name)])))
  }

  const isFixed = () => INPUTS.some((name) => isLinked(node, name))
  const hasKeyframes = () => inputs().curve === KEYFRAMES

  function now() {
    if (held) return held
    return isFixed() ? { problem: 'linked', given: {} } : shown(inputs())
  }

  /** @param {readonly Course[]} courses */
  function range(courses) {
    return dragging?.range ?? rangeOf(courses.flat().map(({ factor }) => factor))
  }

  /** @param {CanvasRenderingContext2D} context @param {number} width @param {number} height */
  function draw(context, width, height) {
    flush()
    const found = now()
    const courses = isProblem(found) ? [] : found
    if (picture >= courses.length) picture = 0
    if (point !== undefined && point >= (courses[picture]?.length ?? 0)) point = undefined
    const given = { courses, picture, point, pointed, range: range(courses), box: boxOf(width, height), ink: inkOf(canvas) }
    drawCurves(context, { ...given, hasPoints: !isFixed() })
    view.complain(isProblem(found) ? say(`step_weights.problems.${found.problem}`, found.given) : '')
    control(courses)
    describe(courses[picture])
  }

  /** @param {readonly Course[]} courses */
  function control(courses) {
    pictures.style.display = courses.length > 1 ? '' : 'none'
    if (courses.length > 1) {
      const text = (/** @type {number} */ n) => say('step_weights.picture_number', { number: n + 1 })
      offer(pictures, courses.map((_, n) => ({ value: String(n), text: text(n) })), String(picture))
    }
    const isLeading = point !== undefined && hasKeyframes() && point < courses[picture].length - 1
    leads.style.display = isLeading ? '' : 'none'
    if (point === undefined || !isLeading) return
    const options = Object.keys(CURVES).map((curve) => ({ value: curve, text: say(`step_weights.curves.${curve}`) }))
    offer(leads, options, courses[picture][point].curve)
  }

  /** @param {Course | undefined} course */
  function describe(course) {
    const place = pointed ?? (point === undefined ? undefined : course?.[point]?.progress)
    const text =
      course && place !== undefined
        ? say('step_weights.at', { point: written(place, 2), weight: written(at(course, place), 3) })
        : ''
    view.info.textContent = text
    canvas.ariaLabel = text || say('step_weights.tip')
  }

  // ------------------------------------------------------------------------------------------------------------- editing

  /** Show another course for the chosen picture, until it is written. @param {Course} course */
  function change(course) {
    const courses = now()
    if (isProblem(courses)) return
    held = courses.map((each, number) => (number === picture ? course : each))
    unwritten = true
    redraw()
  }

  function flush() {
    if (!unwritten || !held) return
    unwritten = false
    const { curve } = inputs()
    writing = true
    const written = curve === KEYFRAMES ? { keyframes: textOf(held) } : inputsOf(curve, held[0])
    for (const [name, value] of Object.entries(written)) write(node, name, value)
    writing = false
  }

  function finish() {
    flush()
    held = dragging = undefined
    redraw()
  }

  /** Let keyframes say what the curve says, so that there can be others between its ends. */
  function toKeyframes() {
    const courses = now()
    if (hasKeyframes() || isProblem(courses)) return
    writing = true
    write(node, 'keyframes', textOf(courses))
    write(node, 'curve', KEYFRAMES)
    writing = false
  }

  /** @param {PointerEvent} event */
  function placeOf(event) {
    const { clientWidth: width, clientHeight: height } = canvas
    const place = placeOn(canvas, event)
    return { x: place.x * width, y: place.y * height, box: boxOf(width, height), width, height }
  }

  /** The nearest point, if it is near. @param {Course} course @param {ReturnType<typeof placeOf>} place
   * @param {import('../lib/plot.mjs').Range} shown */
  function pointAt(course, { x, y, box }, shown) {
    const distances = course.map(({ progress, factor }) => Math.hypot(xOf(progress, box) - x, heightOf(factor, shown, box) - y))
    const nearest = distances.indexOf(Math.min(...distances))
    return distances[nearest] <= NEAR ? nearest : undefined
  }

  /** @param {number} weight */
  const rounded = (weight) => Math.round(weight / ROUND) * ROUND

  canvas.addEventListener('pointerdown', (event) => {
    const courses = now()
    if (event.button !== 0 || isFixed()) return
    const place = placeOf(event)
    const { x, y, box } = place
    const isDouble = event.timeStamp - pressed.at < DOUBLE_MS && Math.hypot(x - pressed.x, y - pressed.y) < NEAR
    pressed = { x, y, at: isDouble ? 0 : event.timeStamp }
    if (isProblem(courses)) {
      if (isDouble && courses.problem === 'empty') start(place)
      return
    }
    const shown = range(courses)
    point = pointAt(courses[picture], place, shown)
    if (point === undefined && isDouble) add(progressAt(x, box), rounded(weightAt(y, shown, box)))
    else if (point === undefined && !isDouble) pick(courses, place, shown)
    if (point !== undefined) {
      canvas.setPointerCapture(event.pointerId)
      const after = now()
      if (!isProblem(after)) dragging = { range: shown, before: after[picture] }
    }
    redraw()
  })

  /** The first keyframe of an empty list. @param {ReturnType<typeof placeOf>} place */
  function start({ x, y, box }) {
    const keyframe = { progress: Number(progressAt(x, box).toFixed(2)), factor: rounded(weightAt(y, rangeOf([]), box)), curve: 'linear' }
    write(node, 'keyframes', textOf([[keyframe]]))
  }

  /** @param {number} progress @param {number} factor */
  function add(progress, factor) {
    toKeyframes()
    const courses = now()
    const found = isProblem(courses) ? undefined : added(courses[picture], Number(progress.toFixed(2)), factor)
    if (!found) return
    change(found.course)
    point = found.point
    flush()
  }

  /** Choose the picture whose line is pressed. @param {readonly Course[]} courses
   * @param {ReturnType<typeof placeOf>} place @param {import('../lib/plot.mjs').Range} shown */
  function pick(courses, { x, y, box }, shown) {
    const distances = courses.map((course) => Math.abs(heightOf(at(course, progressAt(x, box)), shown, box) - y))
    const nearest = Math.min(...distances)
    if (nearest < NEAR && distances[picture] > nearest) picture = distances.indexOf(nearest)
  }

  canvas.addEventListener('pointermove', (event) => {
    const { x, y, box, width, height } = placeOf(event)
    pointed = dragging ? undefined : Number(progressAt(x, box).toFixed(2))
    if (!dragging || point === undefined) return redraw()
    const isOut = x < -OUT || y < -OUT || x > width + OUT || y > height + OUT
    if (isOut && hasKeyframes() && dragging.before.length > 1) return change(removed(dragging.before, point))
    const progress = inputs().curve === CONSTANT ? 0 : Number(progressAt(x, box).toFixed(2))
    change(moved(dragging.before, point, progress, rounded(weightAt(y, dragging.range, box))))
  })

  canvas.addEventListener('pointerup', () => dragging && finish())
  canvas.addEventListener('pointercancel', () => dragging && finish())
  canvas.addEventListener('pointerleave', () => {
    pointed = undefined
    redraw()
  })

  canvas.addEventListener('keydown', (event) => {
    const courses = now()
    if (event.ctrlKey || event.metaKey || event.altKey || isProblem(courses) || isFixed()) return
    const course = courses[picture]
    const { key } = event
    if (key in ARROWS) arrow(course, ARROWS[key])
    else if (key === 'PageUp') point = Math.max((point ?? 1) - 1, 0)
    else if (key === 'PageDown') point = Math.min((point ?? -1) + 1, course.length - 1)
    else if (key === 'Home') point = 0
    else if (key === 'End') point = course.length - 1
    else if (key === 'Delete' || key === 'Backspace') remove(course)
    else return
    pointed = undefined
    event.preventDefault()
    event.stopPropagation() // the canvas would move or delete the node
    redraw()
  })

  /** @param {Course} course @param {[number, number]} way */
  function arrow(course, [progress, factor]) {
    point ??= 0
    const { progress: place, factor: weight } = course[point]
    change(moved(course, point, inputs().curve === CONSTANT ? 0 : place + progress, weight + factor))
    finish()
  }

  /** @param {Course} course */
  function remove(course) {
    if (point === undefined || !hasKeyframes()) return
    change(removed(course, point))
    point = Math.max(point - 1, 0)
    finish()
  }

  // --------------------------------------------------------------------------------------------------- where it belongs

  keepAside(node, { chooser: 'curve', choice: KEYFRAMES, text: 'keyframes' }, () => {
    const found = shown({ ...inputs(), curve: lastCurve, keyframes: '' })
    return isProblem(found) ? '' : textOf(found)
  })
  follow(node, INPUTS, () => {
    if (writing) return
    held = undefined
    if (!hasKeyframes()) lastCurve = String(inputs().curve)
    redraw()
  })
  const connected = node.onConnectionsChange
  node.onConnectionsChange = function (...given) {
    connected?.apply(this, given)
    redraw()
  }
  addView(node, 'course', view.root, { height: HEIGHT, width: WIDTH })
}
