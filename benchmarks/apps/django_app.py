"""A Django site in one file: a page of one indexed query, and one of twenty rows through a template.

`python django_app.py` makes the table and its 10,000 rows. BENCHMARK_DATABASE is the folder of PostgreSQL's
socket, as libpq's PGHOST.
"""

import os
from pathlib import Path

import django
from django.conf import settings

ROWS = 10_000

settings.configure(
    SECRET_KEY='benchmark',
    ALLOWED_HOSTS=['*'],
    ROOT_URLCONF=__name__,
    DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
    DATABASES={
        'default': {
            'ENGINE': 'django.db.backends.postgresql',
            'NAME': 'postgres',
            'USER': 'postgres',
            'HOST': os.environ['BENCHMARK_DATABASE'],
            'CONN_MAX_AGE': None,
        }
    },
    MIDDLEWARE=[
        'django.middleware.security.SecurityMiddleware',
        'django.middleware.common.CommonMiddleware',
        'django.middleware.csrf.CsrfViewMiddleware',
        'django.middleware.clickjacking.XFrameOptionsMiddleware',
    ],
    TEMPLATES=[
        {
            'BACKEND': 'django.template.backends.django.DjangoTemplates',
            'DIRS': [Path(__file__).parent / 'templates'],
        }
    ],
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpResponse, JsonResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402


class Product(models.Model):
    name = models.CharField(max_length=80)
    shelf = models.IntegerField(db_index=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        app_label = 'shop'


def product(request, number):
    found = Product.objects.get(pk=number)
    return JsonResponse({'id': found.pk, 'name': found.name, 'price': str(found.price)})


def shelf(request, number):
    products = Product.objects.filter(shelf=number).order_by('pk')[:20]
    return render(request, 'shelf.html', {'shelf': number, 'products': products})


def connections(request):
    """Say how many database connections this server has open; PGAPPNAME names it."""
    name = os.environ['PGAPPNAME']
    with connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM pg_stat_activity WHERE application_name = %s', [name])
        return HttpResponse(str(cursor.fetchone()[0]))


urlpatterns = [
    path('product/<int:number>', product),
    path('shelf/<int:number>', shelf),
    path('connections', connections),
]
app = get_wsgi_application()


def fill():
    with connection.schema_editor() as editor:
        editor.create_model(Product)
    Product.objects.bulk_create(
        [Product(name=f'Product {n}', shelf=n % 500, price=f'{n % 900}.95') for n in range(1, ROWS + 1)]
    )
    with connection.cursor() as cursor:
        cursor.execute('ANALYZE')


if __name__ == '__main__':
    fill()
