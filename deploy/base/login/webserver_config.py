"""Login to Airflow's pages by OpenID Connect. What is secret comes from onchain-agg-oidc."""

import os

AUTH_TYPE = 4  # flask_appbuilder's AUTH_OAUTH
AUTH_USER_REGISTRATION = True
# Whoever the provider lets in may look; more comes of the groups below, anew at each login.
AUTH_USER_REGISTRATION_ROLE = "Viewer"
AUTH_ROLES_SYNC_AT_LOGIN = True
AUTH_ROLES_MAPPING = {
    "airflow-admins": ["Admin"],
    "airflow-operators": ["Op"],
    "airflow-users": ["User"],
}
OAUTH_PROVIDERS = [
    {
        # The name decides how groups are read from the token; others are keycloak, azure, google.
        "name": "okta",
        "icon": "fa-key",
        "token_key": "access_token",
        "remote_app": {
            "client_id": os.environ["OIDC_CLIENT_ID"],
            "client_secret": os.environ["OIDC_CLIENT_SECRET"],
            "server_metadata_url": os.environ["OIDC_ISSUER"] + "/.well-known/openid-configuration",
            "api_base_url": os.environ["OIDC_ISSUER"] + "/oauth2/v1/",
            "client_kwargs": {"scope": "openid profile email groups"},
        },
    }
]
