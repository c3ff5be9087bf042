// @ts-check
// The name of the folder in which the pack is installed, as a person has called it.

/** The folder in the address of one of the pack's scripts.
 * @param {string} url such as 'http://127.0.0.1:8188/extensions/image-prompt/lib/pack.mjs' */
export function folderIn(url) {
  const parts = new URL(url).pathname.split('/')
  return decodeURIComponent(parts[parts.indexOf('extensions') + 1])
}

export const PACK = folderIn(import.meta.url)
