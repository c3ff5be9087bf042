// @ts-check
// Regions as text, as nodes/controls/region_text.py reads them, and the edits of a text that a hand makes.
import { number } from '../lib/weight_text.mjs'

/** @typedef {[number, number]} Point x and y, each from 0 to 1 */
/** A shape that a line says. A rectangle has the points of its four corners, opposite ones are 0 and 2.
 * @typedef {{line: number, label: string, cut: boolean, kind: 'rect' | 'polygon', points: Point[]}} Shape */
/** A line that says no shape, counted from 1, why, and what is given.
 * @typedef {{line: number, problem: string, given: string}} Problem */

const COMMENT = '#'
const LINE = /^(?<label>.*\S)\s*:\s*(?<cut>-\s*|not\s+)?(?<shape>[a-z]+)(?<numbers>(?:[\s,].*)?)$/i
const DECIMALS = 1000

/** @param {string} text @returns {{shapes: Shape[], problems: Problem[]}} */
export function parse(text) {
  /** @type {Shape[]} */
  const shapes = []
  /** @type {Problem[]} */
  const problems = []
  text.split('\n').forEach((written, index) => {
    const line = written.trim()
    if (!line || line.startsWith(COMMENT)) return
    const found = shape(index + 1, line)
    if ('problem' in found) problems.push(found)
    else shapes.push(found)
  })
  return { shapes, problems }
}

/** @param {number} line @param {string} text @returns {Shape | Problem} */
function shape(line, text) {
  /** @param {string} problem @param {string | number} given */
  const unreadable = (problem, given) => ({ line, problem, given: String(given) })
  const match = LINE.exec(text)?.groups
  if (!match) return unreadable('form', `'${text}'`)
  const kind = match.shape.toLowerCase()
  if (kind !== 'rect' && kind !== 'polygon') return unreadable('shape', `'${match.shape}'`)
  const words = match.numbers.replaceAll(',', ' ').split(/\s+/).filter(Boolean)
  const wrong = words.find((word) => number(word, 0, 1) === undefined)
  if (wrong !== undefined) return unreadable('number', `'${wrong}'`)
  const points = pairs(words.map(Number))
  const fits = kind === 'rect' ? words.length === 4 : words.length >= 6 && words.length % 2 === 0
  if (!fits) return unreadable(kind, words.length)
  const read = { line, label: match.label, cut: match.cut !== undefined }
  if (kind === 'polygon') return { ...read, kind, points }
  const [[left, top], [right, bottom]] = points
  if (left === right || top === bottom) return unreadable('area', left === right ? 'width' : 'height')
  return { ...read, kind, points: corners(points[0], points[1]) }
}

/** @param {number[]} values @returns {Point[]} */
function pairs(values) {
  return Array.from({ length: Math.floor(values.length / 2) }, (_, index) => [values[2 * index], values[2 * index + 1]])
}

/** The corners of a rectangle between two opposite ones.
 * @param {Point} first @param {Point} opposite @returns {Point[]} */
export function corners([left, top], [right, bottom]) {
  return [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom]
  ]
}

/** The number of the reference that a line is for: its number or its name; 0 where there is none.
 * @param {string} label @param {readonly {number: number, name: string}[]} references */
export function owner(label, references) {
  const byNumber = references.find(({ number }) => String(number) === label)
  const found = byNumber ?? references.find(({ number, name }) => (name || `reference ${number}`) === label)
  return found?.number ?? 0
}

/** The line that says a shape.
 * @param {Omit<Shape, 'line'>} shape */
export function format({ label, cut, kind, points }) {
  const said = kind === 'rect' ? [points[0], points[2]] : points
  return `${label}: ${cut ? 'not ' : ''}${kind} ${said.map((point) => point.map(rounded).join(' ')).join(', ')}`
}

/** @param {number} value */
export function rounded(value) {
  return Math.round(value * DECIMALS) / DECIMALS
}

/** A text in which a line, counted from 1, says something else; without what it should say, it is left out.
 * @param {string} text @param {number} line @param {string} [says] */
export function withLine(text, line, says) {
  const lines = text.split('\n')
  lines.splice(line - 1, 1, ...(says === undefined ? [] : [says]))
  return lines.join('\n')
}

/** A text with one more line, and the number of that line.
 * @param {string} text @param {string} says @returns {[string, number]} */
export function withMore(text, says) {
  const lines = text.trimEnd() ? text.trimEnd().split('\n') : []
  return [[...lines, says].join('\n'), lines.length + 1]
}
