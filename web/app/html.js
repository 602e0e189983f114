/* html.js - the one way to write markup. Text in ${} is always text: nothing in
 * the console sets HTML from a string. */
import { h, render, Component, Fragment } from 'preact';
import htm from 'htm';

export const html = htm.bind(h);
export { h, render, Fragment };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useReducer } from 'preact/hooks';

/** A part that is made anew only when something it is given differs: for what stands there by the dozen. @param {(props: any) => any} draw */
export function memo(draw) {
  return class extends Component {
    shouldComponentUpdate(next) {
      const now = /** @type {any} */ (this.props);
      for (const name in next) if (next[name] !== now[name]) return true;
      return false;
    }
    render(props) { return draw(props); }
  };
}
