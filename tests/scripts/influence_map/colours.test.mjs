// The browser colours a map as Python does: both give what one table says.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import { colourOf, colourPixels, factorOf } from '../../../js/influence_map/colours.mjs'

const TABLE = JSON.parse(readFileSync(new URL('../../nodes/heat_colours.json', import.meta.url)))

test('a value has the colour of the table', () => {
  for (const { value, colour } of TABLE)
    colourOf(value).forEach((part, channel) => assert.ok(Math.abs(part - colour[channel]) < 1e-9, String(value)))
})

test('pixels are coloured, and clear where the value is low and a picture lies behind', () => {
  const grey = () => new Uint8ClampedArray([0, 0, 0, 255, 51, 51, 51, 255, 255, 255, 255, 255])
  const over = grey()
  colourPixels(over, 1, true)
  assert.deepEqual([...over], [0, 0, 0, 0, 51, 10, 102, 51, 255, 255, 217, 255])
  const alone = grey()
  colourPixels(alone, 0.5, false)
  assert.deepEqual([...alone.slice(8)], [217, 38, 77, 255])
  const strong = grey()
  colourPixels(strong, 4, true)
  assert.equal(strong[11], 255)
})

test('a scale says what the highest influence counts', () => {
  assert.equal(factorOf('share of the maximum', 0.3, 0.6), 0.5)
  assert.equal(factorOf('share of the maximum', 0, 0), 0)
  assert.equal(factorOf('share of each maximum', 0.3, 0.6), 1)
  assert.equal(factorOf('as measured', 0.3, 0.6), 0.3)
})
