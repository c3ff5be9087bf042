// Where shapes are and how they are dragged, and soft edges by the table that Python reads too.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import { feathered } from '../../../js/regions/feather.mjs'
import { handles, isInside, moved, nearest, rectangle, reshaped } from '../../../js/regions/geometry.mjs'
import { corners, parse } from '../../../js/regions/text.mjs'

const { masks } = JSON.parse(readFileSync(new URL('texts.json', import.meta.url), 'utf8'))
const SIDE = 4

for (const { text, feather, mask } of masks)
  test(`a mask is that of Python: ${JSON.stringify(text)}, ${feather}`, () => {
    const { shapes } = parse(text)
    const hard = new Float32Array(SIDE * SIDE).map((_, place) => covered(shapes, place % SIDE, Math.floor(place / SIDE)))
    const soft = feathered(hard, SIDE, SIDE, feather)
    mask.flat().forEach((value, place) => assert.ok(Math.abs(soft[place] - value) < 1e-6, `${soft} is not ${mask}`))
  })

// How much of a pixel shapes cover, at 8 x 8 places.
function covered(shapes, column, row) {
  let count = 0
  for (let sample = 0; sample < 64; sample++) {
    const place = [(column + ((sample % 8) + 0.5) / 8) / SIDE, (row + (Math.floor(sample / 8) + 0.5) / 8) / SIDE]
    count += shapes.reduce((held, { points, cut }) => (isInside(points, place) ? !cut : held), shapes[0].cut)
  }
  return count / 64
}

test('a polygon that crosses itself has a hole', () => {
  const bow = [[0, 0], [1, 1], [1, 0], [0, 1]]
  assert.deepEqual([[0.1, 0.5], [0.9, 0.5], [0.5, 0.1]].map((place) => isInside(bow, place)), [true, true, false])
})

test('a rectangle between two places has corners in order, and can be seen', () => {
  assert.deepEqual(rectangle([0.8, 0.9], [0.2, -3]), corners([0.2, 0], [0.8, 0.9]))
  assert.deepEqual(rectangle([0.5, 0.5], [0.5, 0.5]), corners([0.5, 0.5], [0.51, 0.51]))
  assert.deepEqual(rectangle([1, 1], [1, 1]), corners([0.99, 0.99], [1, 1]))
})

test('what is moved keeps its shape at the border', () => {
  const square = corners([0.1, 0.1], [0.4, 0.4])
  assert.deepEqual(moved(square, -0.3, 0.2), corners([0, 0.3], [0.3, 0.6]))
  assert.deepEqual(moved(square, 5, 5), corners([0.7, 0.7], [1, 1]))
})

test('each handle of a rectangle moves its own corner or edge', () => {
  const shape = parse('1: rect 0.2 0.2, 0.6 0.6').shapes[0]
  const expected = [
    [[0.1, 0.3], [0.6, 0.6]], [[0.2, 0.3], [0.1, 0.6]], [[0.2, 0.2], [0.1, 0.3]], [[0.1, 0.2], [0.6, 0.3]],
    [[0.2, 0.3], [0.6, 0.6]], [[0.2, 0.2], [0.1, 0.6]], [[0.2, 0.2], [0.6, 0.3]], [[0.1, 0.2], [0.6, 0.6]]
  ]
  expected.forEach(([one, other], handle) => {
    assert.deepEqual(reshaped(shape, handle, [0.1, 0.3]), rectangle(one, other), `handle ${handle}`)
  })
  assert.equal(handles(shape).length, 8)
})

test('a point of a polygon is moved alone', () => {
  const shape = parse('1: polygon 0 0, 1 0, 1 1').shapes[0]
  assert.deepEqual(reshaped(shape, 1, [0.5, -1]), [[0, 0], [0.5, 0], [1, 1]])
  assert.equal(nearest(handles(shape), [0.98, 0.99], [0.05, 0.05]), 2)
  assert.equal(nearest(handles(shape), [0.5, 0.5], [0.05, 0.05]), -1)
})
