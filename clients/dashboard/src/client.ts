/** The API's own client, built by `make clients/js/dist`. */
export * from "../../js/dist/index.js";
