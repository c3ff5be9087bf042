// @ts-check
// Weights over the steps of sampling: what the inputs of Step Weights say, by the formulas of Python's
// ip_adapter/step_weights.py and strength.py. One table of examples holds both together.
import { isProblem, number, problem, quoted, weight, written } from '../lib/weight_text.mjs'

/** @typedef {import('../lib/weight_text.mjs').Problem} Problem */
/** @typedef {{progress: number, factor: number, curve: string}} Keyframe curve: how it gets to the next one */
/** @typedef {Keyframe[]} Course of one picture, in the order of sampling */

/** The way from 0 to 1. @type {Record<string, (x: number) => number>} */
export const CURVES = {
  linear: (x) => x,
  hold: () => 0,
  'ease in': (x) => x * x,
  'ease out': (x) => x * (2 - x),
  'ease in-out': (x) => x * x * (3 - 2 * x)
}
export const LINEAR = 'linear'
const LETTER = /\p{L}$/u

/** The weight of a course at a point of sampling.
 * @param {Course} course @param {number} progress */
export function at(course, progress) {
  const following = course.findIndex((each) => each.progress > progress)
  if (following === 0) return course[0].factor
  if (following < 0) return course[course.length - 1].factor
  const [last, next] = [course[following - 1], course[following]]
  const way = (progress - last.progress) / (next.progress - last.progress)
  return last.factor + (next.factor - last.factor) * CURVES[last.curve](way)
}

/** A curve between two weights.
 * @param {string} curve @param {number} first @param {number} last @param {number} start @param {number} end
 * @returns {Course | Problem} */
export function between(curve, first, last, start, end) {
  if (!(start < end)) return problem('order', { before: written(start), after: written(end) })
  return [
    { progress: start, factor: first, curve },
    { progress: end, factor: last, curve: LINEAR }
  ]
}

/** @param {number} factor @returns {Course} */
export function constant(factor) {
  return [{ progress: 0, factor, curve: LINEAR }]
}

/** The courses that a text of keyframes says, one for all pictures or one for each; or what is wrong with it.
 * @param {string} text @returns {Course[] | Problem} */
export function coursesOf(text) {
  /** @type {Course[]} */
  const courses = []
  for (const line of text.trim().split('\n')) {
    const course = courseOf(line)
    if (isProblem(course)) return course
    courses.push(course)
  }
  return courses
}

/** @param {string} line @returns {Course | Problem} */
function courseOf(line) {
  if (!line.includes(':')) return constantOf(line.trim())
  /** @type {Course} */
  const course = []
  for (const word of line.split(',')) {
    const keyframe = keyframeOf(word.trim())
    if (isProblem(keyframe)) return keyframe
    course.push(keyframe)
  }
  for (const [n, after] of course.slice(1).entries())
    if (!(course[n].progress < after.progress))
      return problem('order', { before: written(course[n].progress), after: written(after.progress) })
  return LETTER.test(line.trimEnd()) ? problem('leads', { curve: course[course.length - 1].curve }) : course
}

/** @param {string} word @returns {Course | Problem} */
function constantOf(word) {
  const factor = weight(word)
  return factor === undefined ? problem('keyframe', { word: quoted(word) }) : constant(factor)
}

/** @param {string} word @returns {Keyframe | Problem} */
function keyframeOf(word) {
  const colon = word.indexOf(':')
  if (colon < 0) return problem('keyframe', { word: quoted(word) })
  const rest = word.slice(colon + 1).trim()
  const space = rest.includes(' ') ? rest.indexOf(' ') : rest.length
  const curve = rest.slice(space).trim().split(/\s+/).join(' ') || LINEAR
  if (curve.includes(':')) return problem('comma', { word: quoted(word) })
  if (!Object.hasOwn(CURVES, curve)) return problem('curve', { word: quoted(curve) })
  const progress = number(word.slice(0, colon).trim(), 0, 1)
  if (progress === undefined) return problem('point', { word: quoted(word.slice(0, colon).trim()) })
  const factor = weight(rest.slice(0, space))
  if (factor === undefined) return problem('number', { word: quoted(rest.slice(0, space)) })
  return { progress, factor, curve }
}

/** The text that says these courses.
 * @param {Course[]} courses */
export function textOf(courses) {
  return courses.map(line).join('\n')
}

/** @param {Course} course */
function line(course) {
  return course
    .map(({ progress, factor, curve }, n) => {
      const leads = curve !== LINEAR && n < course.length - 1
      return `${written(progress)}:${written(factor)}${leads ? ` ${curve}` : ''}`
    })
    .join(', ')
}
