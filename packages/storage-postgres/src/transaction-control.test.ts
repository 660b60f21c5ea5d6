import { describe, expect, it } from "vitest";
import { readsInput, takesRole, transactionCommandOf } from "./transaction-control.ts";

describe("a statement", () => {
  it.each([
    ["begin", "begin"],
    ["BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"],
    ["start  transaction", "start  transaction"],
    ["commit", "commit"],
    ["  -- the end\n/* of it */ ; COMMIT;", "COMMIT"],
    ["end", "end"],
    ["abort", "abort"],
    ["rollback", "rollback"],
    ["ROLLBACK WORK", "ROLLBACK"],
    ["prepare transaction 'x'", "prepare transaction"],
    ["insert into a values (1); commit; insert into a values (2)", "commit"],
    ["insert into a values (1);\nROLLBACK", "ROLLBACK"],
    ["insert into a values (1); -- done\nCOMMIT", "COMMIT"],
    ["insert into a values (1); end", "end"],
    [String.raw`select E'\'', 'x'; commit; select 'y'`, "commit"],
    ["select 1 as a$b$; commit; select 2 as c$b$", "commit"],
    [String.raw`select E'it''s \'', 'x'; commit; select 'y'`, "commit"],
    ["select 1 as é$b$; commit; select 2 as é$b$", "commit"],
    [String.raw`select journée'\'; commit; select ''`, "commit"],
    ["/* /* */ ' */ commit --'", "commit"],
    ["select 1 -- done\r; commit", "commit"],
    ["select $a$ $A$ $a$; commit; select $a$ $a$", "commit"],
  ])("begins or ends a transaction: %s", (text, command) => {
    expect(transactionCommandOf(text)).toBe(command);
  });

  it.each([
    "savepoint a",
    "release savepoint a",
    "rollback to a",
    "ROLLBACK WORK TO SAVEPOINT a",
    "rollback transaction to a",
    "insert into ends values ('commit')",
    "select 1 -- commit",
    "insert into memos values ('it''s paid; commit')",
    "-- first; commit\nselect 1",
    String.raw`insert into memos values (E'don\'t; commit')`,
    String.raw`insert into memos values (e'\\', 'done; commit')`,
    String.raw`insert into memos values (E'it''s paid, don\'t; commit')`,
    String.raw`select e'it''s; commit \``,
    "/* off: /* on */ commit; */ select 1 /* /* */ ; end",
    "do $Body$ begin execute $body$ select 1 $body$; end; $Body$",
    "do $größe$ begin perform 1; end; $größe$",
    "create procedure p() language plpgsql as $$ begin perform 1; commit; end $$",
    "create function f() returns int begin atomic select 1; select 2; end",
    "-- commit",
    "begins",
    "insert into a values (1); rollback to b",
    "do $$ begin perform 1; end $$",
    "create function f() returns int language plpgsql as $$ begin perform 1; return 2; end $$",
    "prepare transactions as select 1",
    "set transaction isolation level serializable",
    `${"/* by a tool */ ".repeat(1_000)}select 1`,
    "",
  ])("leaves it as it is: %s", (text) => {
    expect(transactionCommandOf(text)).toBeNull();
  });
});

describe("a statement that takes on another role", () => {
  it.each([
    "set role tenant",
    "SET LOCAL ROLE 'tenant'",
    "-- of this tenant\nset session role tenant",
    "select 1; set local session authorization tenant",
    "select set_config('role', $1, true)",
  ])("is known: %s", (text) => {
    expect(takesRole(text)).toBe(true);
  });

  it.each([
    "update users set role = $1",
    "select 'set role x'",
    "alter role x set role y",
    "set local app.tenant = 'a'",
  ])("is none: %s", (text) => {
    expect(takesRole(text)).toBe(false);
  });
});

describe("a statement that reads what is sent to it", () => {
  it("is a COPY FROM STDIN", () => {
    expect(readsInput("/* all */ copy public.a (b) from stdin with (format csv)")).toBe(true);
    expect(readsInput("copy a from '/dev/blob'")).toBe(false);
    expect(readsInput("select 'copy a from stdin'")).toBe(false);
  });
});
