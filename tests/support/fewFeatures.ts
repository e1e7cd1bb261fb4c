/** The tables of routers' members, with as few random features as small clouds need, and a small network. */
import type { MemberSpec } from "../../src/continual/routers/members.ts";
import { type RouterKind, routerKinds } from "../../src/continual/types.ts";
import { Registry } from "../../src/core/registry.ts";

type Members = typeof import("../../src/continual/routers/members.ts");

function smaller(member: MemberSpec): MemberSpec {
  return "expansion" in member && member.expansion.size !== undefined
    ? { ...member, expansion: { ...member.expansion, size: Math.round(member.expansion.size / 50) } }
    : member;
}

/** What takes the module's place: the factory of `vi.mock` loads the real one. */
export async function fewFeatures(load: () => Promise<Members>): Promise<object> {
  const real = await load();
  const membersOf = (kind: RouterKind) => real.routerMembers.get(kind).map(smaller);
  const routerMembers = new Registry(
    "router",
    Object.fromEntries(routerKinds.map((kind) => [kind, membersOf(kind)])),
  );
  const networkSettings = {
    ...real.networkSettings,
    hidden: 24,
    epochs: 8,
    batchSize: 16,
    learningRate: 0.01,
  };
  return { ...real, routerMembers, networkSettings, SEARCH_SIZE: 64 };
}
