"""etcd's users and roles: the calls of its Auth service that access control needs."""

from typing import Any

from etcd3 import etcdrpc
from etcd3.etcdrpc import auth_pb2

from cladnet.access.permissions import Access, Permission
from cladnet.etcd.cluster import Cluster
from larva.errors import Conflict

ROOT = "root"
"""The user and the role that etcd itself wants before access control can be switched on."""

_NO_PASSWORD = b"\x1a\x02\x08\x01"
"""`options { no_password: true }`, field 3 of AuthUserAddRequest (etcd 3.4, rpc.proto), which the library's older
stubs do not know but pass on: such a user is known by its certificate and by nothing else."""

_NOT_FOUND = "name not found"
"""How etcd says that a user or role is not there (rpctypes.ErrUserNotFound, ErrRoleNotFound)."""


class EtcdAuth:
    """Users and roles of one etcd cluster; once access control is on, only the user root may call these.

    A name that exists already, or does not exist any more, raises Conflict: somebody else was first; look again.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def users(self) -> frozenset[str]:
        """Return the names of all users."""
        return frozenset(self._call("list etcd's users", "UserList", etcdrpc.AuthUserListRequest()).users)

    def roles(self) -> frozenset[str]:
        """Return the names of all roles."""
        return frozenset(self._call("list etcd's roles", "RoleList", etcdrpc.AuthRoleListRequest()).roles)

    def roles_of(self, user: str) -> frozenset[str] | None:
        """Return the roles of a user; None when there is no such user."""
        answer = self._find(f"read user {user}", "UserGet", etcdrpc.AuthUserGetRequest(name=user))
        return None if answer is None else frozenset(answer.roles)

    def permissions_of(self, role: str) -> frozenset[Permission] | None:
        """Return what a role allows; None when there is no such role."""
        answer = self._find(f"read role {role}", "RoleGet", etcdrpc.AuthRoleGetRequest(role=role))
        return (
            None
            if answer is None
            else frozenset(Permission(one.key, one.range_end, Access(one.permType)) for one in answer.perm)
        )

    def add_user(self, user: str) -> None:
        """Create a user without a password: its certificate's common name is its proof."""
        request = etcdrpc.AuthUserAddRequest(name=user)
        request.MergeFromString(_NO_PASSWORD)
        self._call(f"add user {user}", "UserAdd", request)

    def delete_user(self, user: str) -> None:
        """Delete a user: from now on etcd refuses its certificate every read and write."""
        self._call(f"delete user {user}", "UserDelete", etcdrpc.AuthUserDeleteRequest(name=user))

    def add_role(self, role: str) -> None:
        """Create a role that allows nothing."""
        self._call(f"add role {role}", "RoleAdd", etcdrpc.AuthRoleAddRequest(name=role))

    def delete_role(self, role: str) -> None:
        """Delete a role and take it from every user."""
        self._call(f"delete role {role}", "RoleDelete", etcdrpc.AuthRoleDeleteRequest(role=role))

    def give_role(self, user: str, role: str) -> None:
        """Give a user a role."""
        request = etcdrpc.AuthUserGrantRoleRequest(user=user, role=role)
        self._call(f"give {user} the role {role}", "UserGrantRole", request)

    def take_role(self, user: str, role: str) -> None:
        """Take a role from a user."""
        request = etcdrpc.AuthUserRevokeRoleRequest(name=user, role=role)
        self._call(f"take the role {role} from {user}", "UserRevokeRole", request)

    def grant(self, role: str, permission: Permission) -> None:
        """Let a role do something; another access to the very same keys is replaced."""
        wanted = auth_pb2.Permission(
            key=permission.key, range_end=permission.range_end, permType=int(permission.access)
        )
        request = etcdrpc.AuthRoleGrantPermissionRequest(name=role, perm=wanted)
        self._call(f"grant {role} its rights", "RoleGrantPermission", request)

    def revoke(self, role: str, permission: Permission) -> None:
        """Take a right from a role."""
        request = etcdrpc.AuthRoleRevokePermissionRequest(role=role, key=permission.key, range_end=permission.range_end)
        self._call(f"revoke rights of {role}", "RoleRevokePermission", request)

    def enable(self) -> None:
        """Switch access control on; no error if it is. There has to be a user root with the role root."""
        self._call("switch etcd's access control on", "AuthEnable", etcdrpc.AuthEnableRequest())

    def _find(self, doing: str, method: str, request: Any) -> Any | None:
        try:
            return self._call(doing, method, request)
        except Conflict as error:
            if _NOT_FOUND not in error.message:
                raise
            return None

    def _call(self, doing: str, method: str, request: Any) -> Any:
        answer, _ = self._cluster.call(
            doing, lambda endpoint, seconds: getattr(endpoint.auth, method)(request, timeout=seconds)
        )
        return answer
