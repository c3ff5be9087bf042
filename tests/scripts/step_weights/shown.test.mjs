// What the points of a curve do when they are moved, added and removed.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { coursesOf, textOf } from '../../../js/step_weights/curves.mjs'
import { added, inputsOf, moved, outline, removed, shown } from '../../../js/step_weights/shown.mjs'

const INPUTS = { curve: 'ease in', first: 1, last: 0.2, curve_start: 0.1, curve_end: 0.6, keyframes: '' }
const [COURSE] = coursesOf('0:1 ease in, 0.5:0, 1:0.5')
const text = (course) => textOf([course])

test('a curve is two keyframes, and its ends are its inputs', () => {
  const [course] = shown(INPUTS)
  assert.equal(text(course), '0.1:1 ease in, 0.6:0.2')
  assert.deepEqual(inputsOf('ease in', moved(course, 1, 0.8, -1)), { first: 1, last: -1, curve_start: 0.1, curve_end: 0.8 })
  assert.deepEqual(inputsOf('constant', moved(shown({ ...INPUTS, curve: 'constant' })[0], 0, 0, 0.3)), { first: 0.3 })
})

test('a text that the curve does not read, and none where it needs one, are told', () => {
  assert.equal(shown({ ...INPUTS, keyframes: '1' }).problem, 'unread')
  assert.equal(shown({ ...INPUTS, curve: 'keyframes', keyframes: ' ' }).problem, 'empty')
  assert.equal(shown({ ...INPUTS, curve_end: 0.1 }).problem, 'order')
})

test('a point stays between its neighbours and within the limits', () => {
  assert.equal(text(moved(COURSE, 1, 0.25, 0.75)), '0:1 ease in, 0.25:0.75, 1:0.5')
  assert.equal(text(moved(COURSE, 1, 2, 9)), '0:1 ease in, 0.99:5, 1:0.5')
  assert.equal(text(moved(COURSE, 1, -1, -9)), '0:1 ease in, 0.01:-5, 1:0.5')
  assert.equal(text(moved(COURSE, 0, -1, 0)), '0:0 ease in, 0.5:0, 1:0.5')
})

test('a keyframe is added in its place, and goes on as the curve does there', () => {
  const { course, point } = added(COURSE, 0.3, 0.5)
  assert.deepEqual([text(course), point], ['0:1 ease in, 0.3:0.5 ease in, 0.5:0, 1:0.5', 1])
  assert.equal(added(COURSE, 0.5, 1), undefined)
})

test('a keyframe is removed, but not the last one', () => {
  assert.equal(text(removed(COURSE, 1)), '0:1 ease in, 1:0.5')
  assert.equal(text(removed(removed(removed(COURSE, 0), 0), 0)), '1:0.5')
})

test('a switch is drawn as a jump', () => {
  const jump = outline(coursesOf('0:1 hold, 0.5:0')[0]).filter(([progress]) => Math.abs(progress - 0.5) < 1e-6)
  assert.deepEqual([jump[0][1], jump.at(-1)[1]], [1, 0])
})
