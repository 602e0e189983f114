/* html.js - the one way to write markup. Text in ${} is always text: nothing in
 * the console sets HTML from a string. */
import { h, render, Fragment } from 'preact';
import htm from 'htm';

export const html = htm.bind(h);
export { h, render, Fragment };
export { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useReducer } from 'preact/hooks';
