/** The arguments of a call: its input, which may be left out where that may be undefined, and its options. */
export type InputArguments<In, Options> = undefined extends In
  ? [input?: In, options?: Options]
  : [In] extends [void]
    ? [input?: undefined, options?: Options]
    : [input: In, options?: Options];
