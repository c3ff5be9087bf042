// The curves that the view draws, by the table by which Python is tested too.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { at, between, coursesOf, textOf } from '../../../js/step_weights/curves.mjs'

const table = JSON.parse(readFileSync(new URL('curves.json', import.meta.url), 'utf8'))

function assertWeights(course, weights) {
  for (const [n, point] of table.points.entries())
    assert.ok(Math.abs(at(course, point) - weights[n]) < 1e-6, `${at(course, point)}, not ${weights[n]}, at ${point}`)
}

for (const { curve, first, last, start, end, weights } of table.curves)
  test(`${curve} from ${first} at ${start} to ${last} at ${end}`, () => {
    assertWeights(between(curve, first, last, start, end), weights)
  })

for (const { text, weights } of table.texts)
  test(JSON.stringify(text), () => {
    const courses = coursesOf(text)
    assert.equal(courses.length, weights.length)
    for (const [n, course] of courses.entries()) assertWeights(course, weights[n])
    assert.deepEqual(coursesOf(textOf(courses)), courses)
  })

for (const { text, problem } of table.bad)
  test(`${JSON.stringify(text)} is refused`, () => assert.equal(coursesOf(text).problem, problem))

test('a curve that ends before it starts is refused', () => {
  for (const end of [0.2, 0.5]) assert.equal(between('linear', 1, 0, 0.5, end).problem, 'order')
})
