export { Luthier } from "./api.js";
export type { CallOptions, ClientOptions } from "./core.js";
export {
  AuthenticationError,
  ConfigurationError,
  Conflict,
  ConnectionFailed,
  InvalidRequest,
  LuthierError,
  NotFound,
  PaymentRequired,
  PermissionDenied,
  RateLimited,
  ServiceUnavailable,
  SignatureInvalid,
  UnexpectedAnswer,
  WaitTimedOut,
  WorkFailed,
} from "./errors.js";
export type { Page, Pages } from "./paging.js";
export { Stream } from "./streaming.js";
export type { Answer, Given, Open, Query, Schemas } from "./types.js";
export type { UploadOptions } from "./uploading.js";
export { verify } from "./verifying.js";
export type { WaitOptions } from "./waiting.js";
