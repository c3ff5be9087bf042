// @ts-check
// Read and write weights as text, as Python's ip_adapter/weight_text.py does.

export const WEIGHT_LIMIT = 5
const NUMBER = /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i
const QUOTED = 40 // characters that a message quotes of a text

/** What is wrong with a text: the key of a sentence, and what it says of the text.
 * @typedef {{problem: string, given: Record<string, string | number>}} Problem */

/** @param {string} problem @param {Record<string, string | number>} [given] @returns {Problem} */
export function problem(problem, given = {}) {
  return { problem, given }
}

/** @param {object} found @returns {found is Problem} */
export function isProblem(found) {
  return 'problem' in found
}

/** The number that a word says; undefined if it says none between the limits.
 * @param {string} word @param {number} low @param {number} high */
export function number(word, low, high) {
  const value = NUMBER.test(word) ? Number(word) : NaN
  return value >= low && value <= high ? value : undefined
}

/** @param {string} word */
export function weight(word) {
  return number(word, -WEIGHT_LIMIT, WEIGHT_LIMIT)
}

/** @param {string} text */
export function quoted(text) {
  return text.length <= QUOTED ? text : `${text.slice(0, QUOTED)}...`
}

/** A weight within the limits.
 * @param {number} value */
export function limited(value) {
  return Math.min(Math.max(value, -WEIGHT_LIMIT), WEIGHT_LIMIT)
}

/** A number in few digits, as it is typed.
 * @param {number} value @param {number} [digits] after the point, at most */
export function written(value, digits = 6) {
  return String(Number(value.toFixed(digits)) + 0) // no -0
}
