import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isGrowing, together } from '../../../js/sockets/order.mjs'

const named = (names) => names.map((name) => ({ name }))
const order = (...names) => together(named(names)).map((each) => each.name)

test('a group stands where its first socket is, by numbers and not by letters', () => {
  assert.deepEqual(order('model', 'r.r_0', 'joining', 'r.r_10', 'r.r_2', 'r.r_1'), [
    ...['model', 'r.r_0', 'r.r_1', 'r.r_2', 'r.r_10', 'joining']
  ])
})

test('other sockets keep their places, with numbers too', () => {
  assert.deepEqual(order('features_2', 'features_1', 'mask'), ['features_2', 'features_1', 'mask'])
})

test('sockets that grow on nodes of core and of other packs are left to them', () => {
  const sockets = named(['references.reference_0', 'references.reference_12', 'images.image0', 'resize_type.width', 'model'])
  assert.deepEqual(sockets.filter(isGrowing), sockets.slice(0, 2))
})
