// An error: a code, a sentence, and what to do about it.

export class HarkenError extends Error {
  constructor(code, message, remedy) {
    super(message);
    this.name = "HarkenError";
    this.code = code;
    this.remedy = remedy;
  }
}
