import assert from 'node:assert/strict'
import { test } from 'node:test'

import { free } from '../../../js/lib/place.mjs'

const box = (x, y, width = 100, height = 100) => ({ x, y, width, height })

test('a free place is kept', () => {
  assert.deepEqual(free(box(0, 0), [box(200, 0), box(0, 200)], 40), box(0, 0))
})

test('what is in the way is passed below, one after the other', () => {
  assert.deepEqual(free(box(0, 0), [box(-50, 150), box(50, -20)], 40), box(0, 290))
})

test('what is above or beside is not in the way', () => {
  assert.deepEqual(free(box(0, 0), [box(0, -300), box(-300, 0)], 40), box(0, 0))
})
