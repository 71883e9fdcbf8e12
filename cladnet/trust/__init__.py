"""Whose word a value in etcd is: signatures, so that who can write etcd still cannot say what only others may say."""
