"""Revocation lists: several authorities with one each, in one file or in several; longer chains."""

from __future__ import annotations

import ssl

import pytest

from granian.tls import TLSSettings, make_context

CONFIG = """
[ca]
default_ca = here
[here]
database = {name}.index
default_md = sha256
default_crl_days = 30
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
"""


@pytest.fixture(scope='session')
def authorities(pki):
    """Return `north`, `south`, and `branch`, which north vouches for: each with two clients, one revoked."""

    def sign(name, authority, *extra):
        pki.openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj',
                    f'/CN={name}', '-keyout', f'{name}.key', '-out', f'{name}.csr')  # fmt: skip
        pki.openssl('x509', '-req', '-in', f'{name}.csr', '-CA', f'{authority}.pem',
                    '-CAkey', f'{authority}.key', '-CAcreateserial', '-days', '30',
                    '-out', f'{name}.pem', *extra)  # fmt: skip

    for name in ('north', 'south', 'branch'):
        config = pki[f'{name}.cnf']
        config.write_text(CONFIG.format(name=name))
        pki[f'{name}.index'].touch()
        if name == 'branch':
            sign('branch', 'north', '-extfile', config.name, '-extensions', 'authority')
        else:
            pki.authority(name)
        for client in (f'{name}-good', f'{name}-bad'):
            sign(client, name)
        command = ('ca', '-config', config.name, '-keyfile', f'{name}.key', '-cert', f'{name}.pem')
        pki.openssl(*command, '-revoke', f'{name}-bad.pem')
        pki.openssl(*command, '-gencrl', '-out', f'{name}.crl')
    for client in ('branch-good', 'branch-bad'):  # as clients send it: with what leads to the root
        pki[f'{client}.pem'].write_text(pki[f'{client}.pem'].read_text() + pki['branch.pem'].read_text())
    return pki


def join(pki, name, *parts):
    pki[name].write_text('\n'.join(pki[part].read_text() for part in parts))
    return pki[name]


@pytest.fixture
def verifying(authorities):
    def make(*crl, ca=('north.pem', 'south.pem')):
        return make_context(
            TLSSettings(
                authorities['server.pem'],
                authorities['server.key'],
                ca=join(authorities, 'authorities.pem', *ca),
                crl=crl,
                client_verify='required',
            )
        )

    return make


@pytest.mark.parametrize('together', [True, False], ids=['one file', 'several files'])
def test_each_authority_has_its_list(authorities, verifying, make_client, connect, together):
    lists = ('north.crl', 'south.crl', 'branch.crl')
    crl = [join(authorities, 'all.crl', *lists)] if together else [authorities[name] for name in lists]
    context = verifying(*crl)
    for name in ('north', 'south', 'branch'):
        connect(context, make_client(certificate=f'{name}-good'))
        with pytest.raises(ssl.SSLError, match='revoked'):
            connect(context, make_client(certificate=f'{name}-bad'))


def test_an_authority_without_a_list_lets_nobody_in(authorities, verifying, make_client, connect):
    """Otherwise a list that has not been renewed, or was forgotten, would let the revoked in."""
    context = verifying(authorities['north.crl'])
    connect(context, make_client(certificate='north-good'))
    with pytest.raises(ssl.SSLError):
        connect(context, make_client(certificate='south-good'))


def test_every_step_of_a_chain_needs_one(authorities, verifying, make_client, connect):
    with pytest.raises(ssl.SSLError):
        connect(verifying(authorities['north.crl']), make_client(certificate='branch-good'))
    context = verifying(authorities['north.crl'], authorities['branch.crl'])
    connect(context, make_client(certificate='branch-good'))
