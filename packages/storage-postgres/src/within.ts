/** Rejects when `work` takes too long, and hands what comes later to `late`. */
export async function within<Result>(
  work: Promise<Result>,
  deadlineMs: number,
  what: string,
  late: (result: Result) => void = () => undefined,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  let isLate = false;
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      isLate = true;
      reject(new Error(`${what} within ${deadlineMs} ms`));
    }, deadlineMs);
  });
  work.then(
    (result) => {
      if (isLate) late(result);
    },
    () => undefined,
  );
  try {
    return await Promise.race([work, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
