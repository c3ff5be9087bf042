// A square that is dragged stays a square, follows the pointer, and keeps its middle in the picture.
import assert from 'node:assert/strict'
import test from 'node:test'

import { square } from '../../../js/encode/crop_box.mjs'
import { cells, enlarged, hit, moved, placed, resized } from '../../../js/encode/editing.mjs'

const SIZE = { height: 600, width: 800 }
const BOX = square(100, 200, 300)

test('a picture and its squares lie in the slot, in its middle', () => {
  const slot = { x: 10, y: 20, width: 240, height: 150 }
  assert.deepEqual(placed(slot, SIZE, [BOX]), { x: 30, y: 20, scale: 0.25 })
  const around = square(-100, 0, 800)
  const { x, y, scale } = placed(slot, SIZE, [around])
  assert.deepEqual([scale, y + around.top * scale, x + around.left * scale], [0.1875, 20, 55])
})

test('a square follows the pointer, and is attracted by the edges', () => {
  assert.deepEqual(moved(BOX, 30, -40, SIZE), square(60, 230, 300))
  assert.deepEqual(moved(BOX, -195, 196, SIZE, 8), square(300, 0, 300))
  assert.deepEqual(moved(BOX, -195, 196, SIZE, 2), square(296, 5, 300))
})

test('the middle of a square stays in the picture', () => {
  assert.deepEqual(moved(BOX, -9999, 9999, SIZE), square(450, -150, 300))
  assert.deepEqual(enlarged(square(0, 0, 100), 100, SIZE), square(-1150, -1150, 2400))
})

test('a corner is drawn while the opposite one stays', () => {
  assert.deepEqual(resized(BOX, { x: 1, y: 1 }, 600, 300, SIZE), square(100, 200, 400))
  assert.deepEqual(resized(BOX, { x: -1, y: -1 }, 250, 350, SIZE), square(150, 250, 250))
  assert.deepEqual(resized(BOX, { x: 1, y: -1 }, 795, 300, SIZE, 8), square(-200, 200, 600))
  assert.deepEqual(resized(BOX, { x: 1, y: 1 }, 0, 0, SIZE), square(100, 200, 12))
})

test('a pointer is at a corner, inside, or outside', () => {
  assert.deepEqual(hit(BOX, 198, 103, 5), { x: -1, y: -1 })
  assert.deepEqual(hit(BOX, 505, 397, 5), { x: 1, y: 1 })
  assert.equal(hit(BOX, 350, 101, 5), 'inside')
  assert.equal(hit(BOX, 350, 80, 5), undefined)
})

test('squares stand side by side', () => {
  const found = cells({ x: 0, y: 0, width: 90, height: 60 }, 5, 3)
  assert.deepEqual(found.map(({ x, y }) => [x, y]), [[0, 0], [30, 0], [60, 0], [0, 30], [30, 30]])
})
