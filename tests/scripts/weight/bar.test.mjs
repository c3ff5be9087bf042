import assert from 'node:assert/strict'
import { test } from 'node:test'

import { FINE, STEP, after, at, drawn } from '../../../js/weight/bar.mjs'

const LIMITS = { least: -5, most: 5 }

test('the bar is filled as far as the number, and says where it lies outside', () => {
  assert.deepEqual(drawn(0.3), { filled: 0.3, outside: '' })
  assert.deepEqual([drawn(0).outside, drawn(1).outside], ['', ''])
  assert.deepEqual([drawn(1.2).outside, drawn(-0.1).outside], ['above', 'below'])
})

test('a place sets a number of whole steps, between 0 and 1', () => {
  assert.deepEqual([at(0.33, STEP), at(0.333, FINE), at(-3, STEP), at(7, STEP)], [0.35, 0.33, 0, 1])
})

test('keys go beyond the bar, as far as the limits', () => {
  assert.equal(after('ArrowRight', 1, STEP, LIMITS), 1.05)
  assert.equal(after('ArrowDown', 0, FINE, LIMITS), -0.01)
  assert.equal(after('ArrowUp', 4.98, STEP, LIMITS), 5)
  assert.equal(after('ArrowLeft', 0, STEP, { least: 0, most: 10 }), 0)
  assert.deepEqual([after('Home', 3, STEP, LIMITS), after('End', 3, STEP, LIMITS)], [0, 1])
  assert.equal(after('a', 1, STEP, LIMITS), undefined)
})
