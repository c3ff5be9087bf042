// Where a pointer is on an element.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { placeOn } from '../../../js/lib/pointer.mjs'

const element = { getBoundingClientRect: () => ({ left: 100, top: 50, width: 200, height: 80 }) } // as the screen shows it

for (const [clientX, clientY, x, y] of [[100, 50, 0, 0], [300, 130, 1, 1], [150, 70, 0.25, 0.25], [80, 210, -0.1, 2]])
  test(`${clientX}, ${clientY} is at ${x}, ${y}`, () => {
    assert.deepEqual(placeOn(/** @type {any} */ (element), { clientX, clientY }), { x, y })
  })
