// @ts-check
// The curves that the inputs of Step Weights say, and how its points are moved, added and removed.
import { isProblem, limited, problem } from '../lib/weight_text.mjs'
import { LINEAR, at, between, constant, coursesOf } from './curves.mjs'

/** @typedef {import('./curves.mjs').Course} Course */
/** @typedef {import('../lib/weight_text.mjs').Problem} Problem */
/** @typedef {{curve: string, first: number, last: number, curve_start: number, curve_end: number, keyframes: string}} Inputs */

export const CONSTANT = 'constant'
export const KEYFRAMES = 'keyframes'
const APART = 0.01 // points, at least

/** The course of each picture, or one of all; or what is wrong with the inputs.
 * @param {Inputs} inputs @returns {Course[] | Problem} */
export function shown({ curve, first, last, curve_start, curve_end, keyframes }) {
  if (curve === KEYFRAMES) return keyframes.trim() ? coursesOf(keyframes) : problem('empty')
  if (keyframes.trim()) return problem('unread', { curve })
  if (curve === CONSTANT) return [constant(first)]
  const course = between(curve, first, last, curve_start, curve_end)
  return isProblem(course) ? course : [course]
}

/** A course with one point elsewhere, between its neighbours and within the limits.
 * @param {Course} course @param {number} point its number @param {number} progress @param {number} factor */
export function moved(course, point, progress, factor) {
  const low = point ? course[point - 1].progress + APART : 0
  const high = point < course.length - 1 ? course[point + 1].progress - APART : 1
  const place = Math.max(Math.min(progress, high), Math.min(low, high))
  const to = { ...course[point], progress: round(place), factor: round(limited(factor)) }
  return course.map((each, number) => (number === point ? to : each))
}

/** A course with another keyframe, and its number; undefined where there is no room for it.
 * @param {Course} course @param {number} progress @param {number} factor
 * @returns {{course: Course, point: number} | undefined} */
export function added(course, progress, factor) {
  const place = round(Math.min(Math.max(progress, 0), 1))
  if (course.some((each) => Math.abs(each.progress - place) < APART / 2)) return undefined
  const point = course.filter((each) => each.progress < place).length
  const curve = course[point - 1]?.curve ?? LINEAR
  const keyframe = { progress: place, factor: round(limited(factor)), curve }
  return { course: [...course.slice(0, point), keyframe, ...course.slice(point)], point }
}

/** A course without a keyframe; the last one stays.
 * @param {Course} course @param {number} point */
export function removed(course, point) {
  return course.length > 1 ? course.filter((_, number) => number !== point) : course
}

/** The inputs that say a course which is no list of keyframes.
 * @param {string} curve @param {Course} course @returns {Partial<Inputs>} */
export function inputsOf(curve, course) {
  const [first, last] = course
  if (curve === CONSTANT) return { first: first.factor }
  return { first: first.factor, last: last.factor, curve_start: first.progress, curve_end: last.progress }
}

/** The points of a curve that is drawn, each a hundredth of sampling; jumps stay sharp.
 * @param {Course} course @returns {[progress: number, factor: number][]} */
export function outline(course) {
  /** @type {[number, number][]} */
  const points = []
  for (let hundredth = 0; hundredth <= 100; hundredth++) points.push([hundredth / 100, at(course, hundredth / 100)])
  for (const [number, { progress, factor }] of course.entries()) {
    const before = course[number - 1]
    if (before?.curve === 'hold') points.push([progress - 1e-9, before.factor])
    points.push([progress, factor])
  }
  return points.sort(([one], [other]) => one - other)
}

/** @param {number} value */
function round(value) {
  return Number(value.toFixed(4))
}
