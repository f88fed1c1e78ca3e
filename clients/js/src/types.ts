/** How the types of the document look to a program: camelCase in what is sent, both spellings in what is answered. */

import type { Ends } from "./api.js";
import type { components, operations } from "./schema.js";
import type { WaitOptions } from "./waiting.js";

export type Schemas = components["schemas"];

/** An object whose fields no schema lists, as a chat completion. */
export type Open = any;

type Camel<Name> = Name extends `${infer Head}_${infer Tail}`
  ? Tail extends Uncapitalize<Tail>
    ? `${Head}${Capitalize<Camel<Tail>>}`
    : Name
  : Name;
type Spelled<Name> = string extends Name ? Name : Camel<Name>;

/** What a caller passes. */
export type Given<T> = T extends readonly (infer Row)[]
  ? readonly Given<Row>[]
  : T extends object
    ? { [Name in keyof T as Spelled<Name>]: Given<T[Name]> }
    : T;

/** The parameters of an address. */
export type Query<Name extends keyof operations> = Given<NonNullable<operations[Name]["parameters"]["query"]>>;

/** What the server answers: every field is there, and a newer server may know words that this version does not. */
export type Read<T> = T extends readonly (infer Row)[]
  ? Read<Row>[]
  : T extends object
    ? { [Name in keyof T as Name | Spelled<Name>]-?: Read<T[Name]> }
    : string extends T
      ? T
      : T extends string
        ? T | (string & {})
        : T;

/** An object of the API, with `wait` where it goes on by itself after its answer. */
export type Answer<Name extends keyof Schemas> = Read<Schemas[Name]> &
  (Name extends keyof Ends
    ? {
        /** Wait until it has ended: `wait` of its resource. */
        wait(options?: WaitOptions<Answer<Ends[Name]>>): Promise<Answer<Ends[Name]>>;
      }
    : unknown);
