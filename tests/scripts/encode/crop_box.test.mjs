// The boxes that the scripts draw are those that Python cuts: both give what one table says.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import { boxText, cropBox, readBox, tileBoxes } from '../../../js/encode/crop_box.mjs'

const TABLE = JSON.parse(readFileSync(new URL('../../clip_vision/boxes.json', import.meta.url)))
const square = ([left, top, side]) => ({ left, top, side })
const edges = ({ top, left, bottom, right }) => [top, left, bottom, right]

test('a crop takes what the table says', () => {
  for (const { height, width, crop, edges: expected } of TABLE.crops) {
    const found = cropBox(height, width, Array.isArray(crop) ? square(crop) : crop)
    assert.deepEqual(found ? edges(found) : null, expected, JSON.stringify({ height, width, crop }))
  }
})

test('tiles lie where the table says', () => {
  for (const { height, width, along, edges: expected } of TABLE.tiles)
    assert.deepEqual(tileBoxes(height, width, along)?.map(edges) ?? null, expected)
})

test('a text is read as the table says', () => {
  for (const { text, box, error } of TABLE.texts) {
    const found = readBox(text)
    if (error) assert.equal(found, undefined, text)
    else if (box) assert.deepEqual(Object.values(found).map((part) => part || 0), box, text)
    else assert.equal(found, null, text)
  }
})

test('a box that is written is the box that is read', () => {
  for (const [height, width] of [[600, 800], [4999, 37], [1, 1], [333, 1000]])
    for (const crop of ['center', 'top', 'bottom', 'left', 'right']) {
      const box = cropBox(height, width, crop)
      assert.deepEqual(cropBox(height, width, readBox(boxText(height, width, box))), box)
    }
})
